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

from tests.fakes.openai_faults import Fault, Seen
from tests.fakes.openai_messages import Answer, ApiError, Call, Feed, Stream, Upload, bad, invalid_url
from tests.fakes.openai_params import PARAMS, Params, check_params
from tests.fakes.openai_state import World

Action = Callable[[Call], Awaitable[Answer | Stream]]
Routes = Mapping[str, Action]
"""Handlers by ``"METHOD /path/{}/to"``; each ``{}`` matches one id."""

PREFIX = re.compile(r"/v1(?=/)|/openai/v1(?=/)|/openai/deployments/([^/]+)|/openai(?=/)")
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
BAD_KEY = "Incorrect API key provided: bad. You can find your API key at https://platform.openai.com/account/api-keys."
NO_BETA = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by setting the header "
    "'OpenAI-Beta: assistants=v2'."
)
ERRORS = {
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
ASSISTANTS = ("/threads", "/assistants")


INSERTS = {"garbage": b'data: {"type": "mal\n\n', "comment": b": still here\n\n"}
"""Lines that some faults insert between two events."""


@dataclass(frozen=True)
class Target:
    parts: tuple[str, ...]
    action: Action
    feature: str
    params: Params | None
    """None: the route takes no body."""


class Router:
    def __init__(self, world: World) -> None:
        self._world = world
        self._targets: dict[tuple[str, int], list[Target]] = {}

    def add(self, feature: str, routes: Routes) -> None:
        """Adds routes that exist only while the state has ``feature``; empty: always."""
        for rule, action in routes.items():
            method, path = rule.split(" ")
            parts = tuple(path.split("/"))
            targets = self._targets.setdefault((method, len(parts)), [])
            targets.append(Target(parts, action, feature, PARAMS.get(rule)))
            targets.sort(key=lambda target: target.parts.count("{}"))

    def find(self, seen: Seen) -> tuple[Action, tuple[str, ...]]:
        parts = seen.path.split("/")
        for target in self._targets.get((seen.method, len(parts)), ()):
            if all(mine in ("{}", theirs) for mine, theirs in zip(target.parts, parts, strict=True)):
                if target.feature and target.feature not in self._world.features:
                    break
                if target.params is not None:
                    check_params(target.params, seen.body)
                ids = (theirs for mine, theirs in zip(target.parts, parts, strict=True) if mine == "{}")
                return target.action, tuple(ids)
        raise invalid_url(seen)


class Door:
    """Handles every request of the fake server."""

    def __init__(self, world: World, router: Router) -> None:
        self._world = world
        self._router = router
        self._first: dict[tuple[str, str], tuple[Any, asyncio.Future[Answer | Stream]]] = {}
        self._late: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            seen = await _read(request)
        except ApiError as error:
            return _plain(Answer(error.body, error.status))
        self._world.board.note(seen)
        fault = self._world.faults.take(seen)
        call = Call(seen, cut_after=fault.after if fault and fault.kind == "cut" else None)
        if fault is None:
            return await self._send(request, await self._act(call), None)
        if fault.waits:
            await self._wait(fault, call)
        if fault.status is not None:
            return _faulty(fault.status, fault)
        if fault.kind == "drop_before":
            return _drop(request)
        return await self._send(request, await self._act(call), fault)

    async def _wait(self, fault: Fault, call: Call) -> None:
        """Delays a request for a fault. Processes it afterwards even if its caller disconnects meanwhile."""
        waiting = asyncio.ensure_future(fault.wait())
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if fault.status is None and fault.kind != "drop_before":
                call.gone = True
                self._spawn_late(waiting, call)
            raise

    def _spawn_late(self, waiting: asyncio.Future[None], call: Call) -> None:
        async def act_late() -> None:
            await waiting
            await self._act(call)

        task = asyncio.create_task(act_late())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _act(self, call: Call) -> Answer | Stream:
        try:
            _admit(call.seen)
            action, call.ids = self._router.find(call.seen)
            key = call.seen.headers.get("idempotency-key")
            if key and call.seen.method == "POST" and "idempotency" in self._world.features:
                return await self._once(key, call, action)
            return await action(call)
        except ApiError as error:
            return Answer(error.body, error.status)

    async def _once(self, key: str, call: Call, action: Action) -> Answer | Stream:
        """Processes requests with the same idempotency key once; repeats get the response of the first."""
        name = (call.seen.path, key)
        if name not in self._first:
            work = asyncio.ensure_future(action(call))
            self._first[name] = (call.seen.body, work)
            work.add_done_callback(lambda done: self._forget_failure(name, done))
            return await work
        body, first = self._first[name]
        if body != call.seen.body:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            raise ApiError(400, message, kind="idempotency_error")
        return await asyncio.shield(first)

    def _forget_failure(self, name: tuple[str, str], done: asyncio.Future[Answer | Stream]) -> None:
        if done.cancelled() or done.exception():
            del self._first[name]

    async def _send(self, request: web.BaseRequest, answer: Answer | Stream, fault: Fault | None) -> web.StreamResponse:
        if isinstance(answer, Stream):
            return await _send_stream(request, answer, fault, self._world.shred)
        if fault is not None and fault.kind is not None:
            return await _break(request, answer, fault)
        return _plain(answer)


async def _read(request: web.BaseRequest) -> Seen:
    body = await _form(request) if request.content_type == "multipart/form-data" else _parse(await request.read())
    url = request.rel_url
    raw_path = url.path
    prefix = PREFIX.match(raw_path)
    return Seen(
        method=request.method,
        path=raw_path[prefix.end() :] if prefix else raw_path,
        query=dict(url.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        raw_path=raw_path,
        prefix=prefix.group(0) if prefix else "",
        deployment=(prefix.group(1) or "") if prefix else "",
    )


async def _form(request: web.BaseRequest) -> dict[str, str | Upload]:
    fields: dict[str, str | Upload] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file as file:
                fields[name] = Upload(value.filename, file.read(), value.content_type)
        else:
            fields[name] = str(value)
    return fields


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        raise bad("We could not parse the JSON body of your request.") from None


def _admit(seen: Seen) -> None:
    """Raises ApiError unless the request has a key (any but "bad") and the headers that its URL requires."""
    if not seen.prefix:
        raise invalid_url(seen)
    azure = seen.prefix.startswith("/openai") and seen.prefix != "/openai/v1"
    if azure and "api-version" not in seen.query:
        raise ApiError(404, "Resource not found", code="404")
    kind, _, token = seen.headers.get("authorization", "").partition(" ")
    key = token if kind.lower() == "bearer" else ""
    if seen.prefix.startswith("/openai"):
        key = seen.headers.get("api-key") or key
    if not key:
        raise ApiError(401, NO_KEY)
    if key == "bad":
        raise ApiError(401, BAD_KEY, code="invalid_api_key")
    if not azure and seen.path.startswith(ASSISTANTS) and seen.headers.get("openai-beta") != "assistants=v2":
        raise bad(NO_BETA, code="invalid_beta")


def _plain(answer: Answer) -> web.Response:
    named = {"x-request-id": _request_id(), **answer.headers}
    return web.Response(body=answer.raw, status=answer.status, headers=named, content_type=answer.media_type)


def _request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


def _faulty(status: int, fault: Fault) -> web.Response:
    """Returns the response of a fault with a status; a text body is sent as HTML, as proxies do."""
    if isinstance(fault.body, str):
        return web.Response(text=fault.body, status=status, headers=fault.headers, content_type="text/html")
    kind, code, message = ERRORS.get(status, ("server_error", None, f"Error {status}."))
    standard = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return _plain(Answer(standard if fault.body is None else fault.body, status, fault.headers))


def _drop(request: web.BaseRequest) -> web.StreamResponse:
    """Closes the connection after the data written so far."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # never sent


async def _break(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    """Sends a response that is not a stream, broken as the fault says."""
    raw = answer.raw
    half = raw[: len(raw) // 2]
    if fault.kind == "drop_after":
        return _drop(request)
    if fault.kind != "cut":
        return web.Response(body=half, status=answer.status, content_type=answer.media_type)
    response = web.StreamResponse(headers={"content-type": answer.media_type, "content-length": str(len(raw))})
    await response.prepare(request)
    await response.write(half)
    _drop(request)
    return response


async def _send_stream(request: web.BaseRequest, stream: Stream, fault: Fault | None, shred: int) -> web.StreamResponse:
    if fault is not None and fault.kind == "drop_after":
        if stream.abandon is not None:  # it would not continue without a reader
            async for _ in stream.feed.follow():
                pass
        return _drop(request)
    named = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": _request_id(), **stream.headers}
    response = web.StreamResponse(headers=named)
    try:
        await response.prepare(request)
        async for data in _flow(stream, fault):
            await _write(response, data, shred)
    except (ConnectionError, asyncio.CancelledError):
        _abandon(stream)
        raise
    if fault is not None and fault.kind == "cut":
        _abandon(stream)
        _drop(request)
    return response


async def _write(response: web.StreamResponse, data: bytes, shred: int) -> None:
    if not shred:
        await response.write(data)
        return
    for start in range(0, len(data), shred):
        await response.write(data[start : start + shred])
        await asyncio.sleep(0)  # so that the pieces are sent one by one


def _abandon(stream: Stream) -> None:
    if stream.abandon is not None:
        stream.abandon()


async def _flow(stream: Stream, fault: Fault | None) -> AsyncIterator[bytes]:
    """Yields the bytes to send: all events, or those that a fault leaves, with its insertions."""
    if fault is None or fault.kind is None:
        async for batch in stream.feed.follow(stream.start):
            yield b"".join(batch)
        return
    sent = 0
    async for event in _events(stream.feed, stream.start):
        if sent == fault.after:
            if fault.kind not in INSERTS:
                break
            yield INSERTS[fault.kind]
        yield event
        sent += 1
    if fault.kind == "error_event":
        yield stream.error()


async def _events(feed: Feed, start: int) -> AsyncIterator[bytes]:
    async for batch in feed.follow(start):
        for event in batch:
            yield event
