"""HTTP layer of the fake: reads, authorizes and routes requests, and sends responses, with faults on demand."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.openai_faults import HttpFault, RecordedRequest
from tests.fakes.openai_messages import (
    ApiError,
    ApiRequest,
    ApiResponse,
    EventLog,
    FileUpload,
    StreamedResponse,
    bad_request,
    invalid_url,
)
from tests.fakes.openai_params import PARAMS, Params, check_params
from tests.fakes.openai_state import FakeOpenAIState

RouteHandler = Callable[[ApiRequest], Awaitable[ApiResponse | StreamedResponse]]
Routes = Mapping[str, RouteHandler]
"""Handlers by ``"METHOD /path/{}/to"``; each ``{}`` matches one id."""

PATH_PREFIX = re.compile(r"/v1(?=/)|/openai/v1(?=/)|/openai/deployments/([^/]+)|/openai(?=/)")
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
BAD_KEY = "Incorrect API key provided: bad. You can find your API key at https://platform.openai.com/account/api-keys."
NO_BETA = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by setting the header "
    "'OpenAI-Beta: assistants=v2'."
)
DEFAULT_ERRORS = {
    401: ("invalid_request_error", "invalid_api_key", BAD_KEY),
    403: (
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("service_unavailable_error", None, "The server is overloaded or not ready yet."),
}
"""Type, code and message of OpenAI's errors with these statuses."""
BETA_PATHS = ("/threads", "/assistants")


INSERTED_LINES = {"garbage": b'data: {"type": "mal\n\n', "comment": b": still here\n\n"}
"""Lines that some faults insert between two events."""


@dataclass(frozen=True)
class FakeRoute:
    parts: tuple[str, ...]
    handler: RouteHandler
    feature: str
    params: Params | None
    """None: the route takes no body."""


class Router:
    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state
        self._routes: dict[tuple[str, int], list[FakeRoute]] = {}

    def add(self, feature: str, routes: Routes) -> None:
        """Adds routes that exist only while the state has ``feature``; empty: always."""
        for rule, action in routes.items():
            method, path = rule.split(" ")
            parts = tuple(path.split("/"))
            targets = self._routes.setdefault((method, len(parts)), [])
            targets.append(FakeRoute(parts, action, feature, PARAMS.get(rule)))
            targets.sort(key=lambda target: target.parts.count("{}"))

    def find(self, request: RecordedRequest) -> tuple[RouteHandler, tuple[str, ...]]:
        parts = request.path.split("/")
        for target in self._routes.get((request.method, len(parts)), ()):
            if all(mine in ("{}", theirs) for mine, theirs in zip(target.parts, parts, strict=True)):
                if target.feature and target.feature not in self._state.features:
                    break
                if target.params is not None:
                    check_params(target.params, request.body)
                ids = (theirs for mine, theirs in zip(target.parts, parts, strict=True) if mine == "{}")
                return target.handler, tuple(ids)
        raise invalid_url(request)


class RequestHandler:
    """Handles every request of the fake server."""

    def __init__(self, state: FakeOpenAIState, router: Router) -> None:
        self._state = state
        self._router = router
        self._idempotent: dict[tuple[str, str], tuple[Any, asyncio.Future[ApiResponse | StreamedResponse]]] = {}
        self._late_tasks: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            seen = await _read_request(request)
        except ApiError as error:
            return _to_response(ApiResponse(error.body, error.status))
        self._state.request_log.add(seen)
        fault = self._state.faults.next_for(seen)
        call = ApiRequest(seen, cut_after=fault.after if fault and fault.kind == "cut" else None)
        if fault is None:
            return await self._send(request, await self._act(call), None)
        if fault.delays:
            await self._delay(fault, call)
        if fault.status is not None:
            return _fault_response(fault.status, fault)
        if fault.kind == "drop_before":
            return _close_connection(request)
        return await self._send(request, await self._act(call), fault)

    async def _delay(self, fault: HttpFault, api_request: ApiRequest) -> None:
        """Delays a request for a fault. Processes it afterwards even if its caller disconnects meanwhile."""
        waiting = asyncio.ensure_future(fault.wait())
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if fault.status is None and fault.kind != "drop_before":
                api_request.caller_gone = True
                self._act_later(waiting, api_request)
            raise

    def _act_later(self, waiting: asyncio.Future[None], api_request: ApiRequest) -> None:
        async def act_late() -> None:
            await waiting
            await self._act(api_request)

        task = asyncio.create_task(act_late())
        self._late_tasks.add(task)
        task.add_done_callback(self._late_tasks.discard)

    async def _act(self, api_request: ApiRequest) -> ApiResponse | StreamedResponse:
        try:
            _check_access(api_request.recorded)
            action, api_request.ids = self._router.find(api_request.recorded)
            key = api_request.recorded.headers.get("idempotency-key")
            if key and api_request.recorded.method == "POST" and "idempotency" in self._state.features:
                return await self._once(key, api_request, action)
            return await action(api_request)
        except ApiError as error:
            return ApiResponse(error.body, error.status)

    async def _once(self, key: str, api_request: ApiRequest, handler: RouteHandler) -> ApiResponse | StreamedResponse:
        """Processes requests with the same idempotency key once; repeats get the response of the first."""
        name = (api_request.recorded.path, key)
        if name not in self._idempotent:
            work = asyncio.ensure_future(handler(api_request))
            self._idempotent[name] = (api_request.recorded.body, work)
            work.add_done_callback(lambda done: self._forget_failure(name, done))
            return await work
        body, first = self._idempotent[name]
        if body != api_request.recorded.body:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            raise ApiError(400, message, kind="idempotency_error")
        return await asyncio.shield(first)

    def _forget_failure(self, name: tuple[str, str], done: asyncio.Future[ApiResponse | StreamedResponse]) -> None:
        if done.cancelled() or done.exception():
            del self._idempotent[name]

    async def _send(
        self, request: web.BaseRequest, answer: ApiResponse | StreamedResponse, fault: HttpFault | None
    ) -> web.StreamResponse:
        if isinstance(answer, StreamedResponse):
            return await _send_stream(request, answer, fault, self._state.stream_chunk_bytes)
        if fault is not None and fault.kind is not None:
            return await _send_broken(request, answer, fault)
        return _to_response(answer)


async def _read_request(request: web.BaseRequest) -> RecordedRequest:
    body = (
        await _read_form(request)
        if request.content_type == "multipart/form-data"
        else _parse_json(await request.read())
    )
    url = request.rel_url
    raw_path = url.path
    prefix = PATH_PREFIX.match(raw_path)
    return RecordedRequest(
        method=request.method,
        path=raw_path[prefix.end() :] if prefix else raw_path,
        query=dict(url.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        raw_path=raw_path,
        prefix=prefix.group(0) if prefix else "",
        deployment=(prefix.group(1) or "") if prefix else "",
    )


async def _read_form(request: web.BaseRequest) -> dict[str, str | FileUpload]:
    fields: dict[str, str | FileUpload] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file as file:
                fields[name] = FileUpload(value.filename, file.read(), value.content_type)
        else:
            fields[name] = str(value)
    return fields


def _parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        raise bad_request("We could not parse the JSON body of your request.") from None


def _check_access(request: RecordedRequest) -> None:
    """Raises ApiError unless the request has a key (any but "bad") and the headers that its URL requires."""
    if not request.prefix:
        raise invalid_url(request)
    azure = request.prefix.startswith("/openai") and request.prefix != "/openai/v1"
    if azure and "api-version" not in request.query:
        raise ApiError(404, "Resource not found", code="404")
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    key = token if kind.lower() == "bearer" else ""
    if request.prefix.startswith("/openai"):
        key = request.headers.get("api-key") or key
    if not key:
        raise ApiError(401, NO_KEY)
    if key == "bad":
        raise ApiError(401, BAD_KEY, code="invalid_api_key")
    if not azure and request.path.startswith(BETA_PATHS) and request.headers.get("openai-beta") != "assistants=v2":
        raise bad_request(NO_BETA, code="invalid_beta")


def _to_response(answer: ApiResponse) -> web.Response:
    named = {"x-request-id": _request_id(), **answer.headers}
    return web.Response(body=answer.body_bytes, status=answer.status, headers=named, content_type=answer.media_type)


def _request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


def _fault_response(status: int, fault: HttpFault) -> web.Response:
    """Returns the response of a fault with a status; a text body is sent as HTML, as proxies do."""
    if isinstance(fault.body, str):
        return web.Response(text=fault.body, status=status, headers=fault.headers, content_type="text/html")
    kind, code, message = DEFAULT_ERRORS.get(status, ("server_error", None, f"Error {status}."))
    standard = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return _to_response(ApiResponse(standard if fault.body is None else fault.body, status, fault.headers))


def _close_connection(request: web.BaseRequest) -> web.StreamResponse:
    """Closes the connection after the data written so far."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # never sent


async def _send_broken(request: web.BaseRequest, answer: ApiResponse, fault: HttpFault) -> web.StreamResponse:
    """Sends a response that is not a stream, broken as the fault says."""
    raw = answer.body_bytes
    half = raw[: len(raw) // 2]
    if fault.kind == "drop_after":
        return _close_connection(request)
    if fault.kind != "cut":
        return web.Response(body=half, status=answer.status, content_type=answer.media_type)
    response = web.StreamResponse(headers={"content-type": answer.media_type, "content-length": str(len(raw))})
    await response.prepare(request)
    await response.write(half)
    _close_connection(request)
    return response


async def _send_stream(
    request: web.BaseRequest, stream: StreamedResponse, fault: HttpFault | None, chunk_bytes: int
) -> web.StreamResponse:
    if fault is not None and fault.kind == "drop_after":
        if stream.abandon is not None:  # it would not continue without a reader
            async for _ in stream.event_log.follow():
                pass
        return _close_connection(request)
    named = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": _request_id(), **stream.headers}
    response = web.StreamResponse(headers=named)
    try:
        await response.prepare(request)
        async for data in _stream_bytes(stream, fault):
            await _write(response, data, chunk_bytes)
    except (ConnectionError, asyncio.CancelledError):
        _abandon(stream)
        raise
    if fault is not None and fault.kind == "cut":
        _abandon(stream)
        _close_connection(request)
    return response


async def _write(response: web.StreamResponse, data: bytes, chunk_bytes: int) -> None:
    if not chunk_bytes:
        await response.write(data)
        return
    for start in range(0, len(data), chunk_bytes):
        await response.write(data[start : start + chunk_bytes])
        await asyncio.sleep(0)  # so that the pieces are sent one by one


def _abandon(stream: StreamedResponse) -> None:
    if stream.abandon is not None:
        stream.abandon()


async def _stream_bytes(stream: StreamedResponse, fault: HttpFault | None) -> AsyncIterator[bytes]:
    """Yields the bytes to send: all events, or those that a fault leaves, with its insertions."""
    if fault is None or fault.kind is None:
        async for batch in stream.event_log.follow(stream.start):
            yield b"".join(batch)
        return
    sent = 0
    async for event in _single_events(stream.event_log, stream.start):
        if sent == fault.after:
            if fault.kind not in INSERTED_LINES:
                break
            yield INSERTED_LINES[fault.kind]
        yield event
        sent += 1
    if fault.kind == "error_event":
        yield stream.error_event()


async def _single_events(event_log: EventLog, start: int) -> AsyncIterator[bytes]:
    async for batch in event_log.follow(start):
        for event in batch:
            yield event
