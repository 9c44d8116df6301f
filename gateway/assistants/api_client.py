"""The API client for the assistant's server: JSON and event streams over one SDK client per process.

The SDK supplies keys, URLs, connections and exceptions. Requests go through its methods (``client.post``) and
responses are decoded here: its generated resources cost 20 MB and, while streaming, five times the CPU. Its methods
in turn cost more CPU than the connection: it makes the first POST of a kind, and the others are made from a template.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import httpx2
import openai

from gateway import logs
from gateway.assistants.error_map import ModelLoading, NotFound, translated_errors
from gateway.assistants.json_fields import as_objects, as_text
from gateway.assistants.sse import Event, Json, parse_object, read_body
from gateway.coordination.lease import assert_current_lease_held
from gateway.domain.errors import (
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    SettingsError,
    ThreadBusy,
)
from gateway.settings import Settings

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 60.0
"""Timeout of requests that do not wait for a model."""
STREAM_IDLE_SECONDS = 120.0
"""Seconds without a byte after which a stream is given up, if its run can be followed by polling."""
KEEPALIVE_SECONDS = 60.0
DRAIN_SECONDS = 0.05
"""Time to read the end of a stream after its last event: only then can the connection be reused."""
SPARE_CONNECTIONS = 100
LOADING_SECONDS = 1.0
MAX_LOADING_SECONDS = 10.0
"""The first and the longest pause before a server that loads its model is asked again."""
MAX_POLL_FAILURES = 4
MIN_POLL_SECONDS = 0.02
MAX_POLL_SECONDS = 30.0
MAX_ID_CHARS = 256
BINARY_HEADERS = {"accept": "application/binary"}
FILE_TOO_LARGE = "A file that the assistant made is too large to be sent here."
NO_KEY = "none"
"""Sent to a self-hosted server that needs no key, because the SDK requires one."""

Events = AsyncGenerator[Event, None]

log = logs.get_logger(__name__)


def connect(settings: Settings) -> openai.AsyncOpenAI:
    """Returns the SDK client for these settings. No I/O. Raises SettingsError."""
    silence = settings.assistant_timeout_seconds
    timeout = httpx2.Timeout(connect=CONNECT_SECONDS, read=silence, write=REQUEST_SECONDS, pool=REQUEST_SECONDS)
    # A run uses one connection, and one more while it is polled or cancelled.
    limits = httpx2.Limits(
        max_connections=2 * settings.max_runs + SPARE_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS
    )
    _check_urls(settings)
    transport = openai.DefaultAioHttpClient(limits=limits, timeout=timeout)
    # A repeated POST would repeat the message, so retries are left to the code that knows whether that is safe.
    options: dict[str, Any] = {"http_client": transport, "timeout": timeout, "max_retries": 0}
    if settings.azure_openai_endpoint and settings.azure_openai_api_key:
        return openai.AsyncAzureOpenAI(
            azure_endpoint=settings.azure_openai_endpoint,
            api_key=settings.azure_openai_api_key.get_secret_value(),
            api_version=settings.azure_openai_api_version,
            **options,
        )
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else NO_KEY
    return openai.AsyncOpenAI(api_key=key, base_url=settings.openai_base_url, **options)


def _check_urls(settings: Settings) -> None:
    urls = {
        "OPENAI_BASE_URL": settings.openai_base_url,
        "AZURE_OPENAI_ENDPOINT": settings.azure_openai_endpoint,
    }
    for name, url in urls.items():
        if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise SettingsError(f"{name} must be a URL that begins with http:// or https://.")


def path_segment(identifier: str) -> str:
    """Returns an id quoted as one path segment. Raises NotFound for a value that cannot be an id of any server."""
    quoted = quote(identifier, safe="")
    if quoted in {"", ".", ".."} or len(identifier) > MAX_ID_CHARS:
        raise NotFound("not a valid id of a server object")
    return quoted


@dataclass(frozen=True, slots=True)
class AssistantConfig:
    """How the assistant is configured."""

    model: str
    instructions: str = ""
    hosted_tools: tuple[Json, ...] = ()
    """Hosted tools, in the form of the Responses API."""
    stream: bool = True
    """False: do not stream, but poll or wait for the whole response."""
    poll_seconds: float = 1.0
    """Interval between two polls of a run, unless the server sets it."""
    transcription_model: str = ""
    """The model that transcribes recordings; empty if they are not transcribed."""
    max_turn_tokens: int = 1_000_000
    """Tokens of one turn after which no more tools are run."""
    show_reasoning: bool = False
    """Whether people see what the model thought."""


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode  # as the SDK
_parse_url = lru_cache(maxsize=64)(httpx2.URL)  # parsing costs a tenth of a request, and there are few different URLs


@dataclass(frozen=True, slots=True, repr=False)  # the headers hold the key
class RequestTemplate:
    """A POST as the SDK made it, to make further ones that differ only in path, body and cookies."""

    url_prefix: str
    """The URL up to the requested path; on Azure it contains the deployment."""
    url_suffix: str
    headers: httpx2.Headers
    extensions: Mapping[str, Any]
    """The timeouts, and on Azure the host that may receive its key."""

    @classmethod
    def from_response(cls, response: httpx2.Response, path: str) -> Self | None:
        """Returns the template of the answered request; None if the SDK or a redirect changed the path."""
        request = response.request
        before, found, after = str(request.url).rpartition(path)
        if response.history or not found:
            return None
        own = {b"cookie", b"content-length"}
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in own]
        return cls(before, after, httpx2.Headers(headers), dict(request.extensions))

    def make_request(self, path: str, body: Json, cookies: httpx2.Cookies) -> httpx2.Request:
        return httpx2.Request(
            "POST",
            _parse_url(f"{self.url_prefix}{path}{self.url_suffix}"),
            headers=self.headers,
            cookies=cookies,
            content=_encode_json(body).encode(),
            extensions=dict(self.extensions),
        )


class AssistantApiClient:
    """Requests to one server. Every method raises AssistantError only; a path that is not there is NotThere.

    A POST in the course of a turn also raises LeaseLost, when another process has the turn by now.
    """

    def __init__(self, client: openai.AsyncOpenAI, headers: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._headers = dict(headers or {})
        self._request_timeout = httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS)
        self._templates: dict[tuple[str, str, float | None, bool], RequestTemplate] = {}

    @property
    def base_url(self) -> str:
        return str(self._client.base_url)

    @property
    def is_azure(self) -> bool:
        return isinstance(self._client, openai.AsyncAzureOpenAI)

    @property
    def host(self) -> str:
        return self._client.base_url.netloc.decode()

    async def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        return (await self._get_with_poll_interval(path, query))[0]

    async def post(self, path: str, body: Json) -> Json:
        """POSTs a request that does not wait for a model; see ``stream`` for the others."""
        with translated_errors():
            return parse_object((await self._post(path, body, REQUEST_SECONDS, streamed=False)).content)

    async def upload(self, path: str, fields: Mapping[str, str], name: str, media_type: str, content: bytes) -> Json:
        """POSTs a file as a multipart form."""
        with translated_errors():
            options = self._options(timeout=self._request_timeout)
            options["headers"] = {**self._headers, "content-type": "multipart/form-data"}
            file = (name, content, media_type)
            response = await self._client.post(
                path, cast_to=httpx2.Response, body=dict(fields), files={"file": file}, options=options
            )
            return parse_object(response.content)

    async def download(self, path: str, max_bytes: int) -> bytes:
        """Downloads a file. Raises AssistantRefused as soon as it exceeds ``max_bytes``."""
        with translated_errors():
            options = self._options(timeout=self._request_timeout)
            options["headers"] = {**self._headers, **BINARY_HEADERS}
            response = cast(
                "httpx2.Response",  # as in _post
                await self._client.get(
                    path,
                    cast_to=httpx2.Response,
                    options=options,
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                ),
            )
            async with AsyncExitStack() as cleanup:
                cleanup.push_async_callback(_close, response)
                return await _read_limited(response, max_bytes)

    async def delete(self, path: str) -> None:
        with translated_errors():
            await self._client.delete(
                path, cast_to=httpx2.Response, options=self._options(timeout=self._request_timeout)
            )

    @asynccontextmanager
    async def stream(self, path: str, body: Json, *, idle_seconds: float | None = None) -> AsyncIterator[Events]:
        """POSTs, and yields the events of the response, and END. A response that is one JSON object is one event.

        Waits while the server loads its model. Raises AssistantUnavailable after ``idle_seconds`` without a byte (None:
        the client's own timeout).
        """
        response = await self._open_stream(path, body, idle_seconds)
        with translated_errors(answer_began=True):
            async with AsyncExitStack() as cleanup:
                cleanup.push_async_callback(_close, response)
                chunks = response.aiter_bytes()
                read = read_body(chunks)
                cleanup.push_async_callback(read.aclose)
                yield read
                await _drain(chunks)

    async def _open_stream(self, path: str, body: Json, idle_seconds: float | None) -> httpx2.Response:
        """Returns the response. A model that is being loaded is waited for until the turn's time is up."""
        pause = LOADING_SECONDS
        while True:
            try:
                with translated_errors():
                    return await self._post(path, body, idle_seconds, streamed=True)
            except ModelLoading as exc:
                log.info("the server loads its model; waiting", path=path, error=str(exc))
                await asyncio.sleep(pause if exc.retry_after is None else max(exc.retry_after, MIN_POLL_SECONDS))
                pause = min(2 * pause, MAX_LOADING_SECONDS)

    async def _post(self, path: str, body: Json, idle_seconds: float | None, *, streamed: bool) -> httpx2.Response:
        await assert_current_lease_held()
        # All that the SDK's request depends on: the first path segment, and on Azure the model, which is in the URL.
        kind = (path.split("/")[1], as_text(body.get("model")), idle_seconds, streamed)
        if (pattern := self._templates.get(kind)) is not None:
            return await self._send_from_template(pattern, path, body, streamed=streamed)
        timeout = None if idle_seconds is None else httpx2.Timeout(idle_seconds, connect=CONNECT_SECONDS)
        response = cast(
            "httpx2.Response",  # the SDK's signature says it returns a stream, whatever cast_to is
            await self._client.post(
                path,
                cast_to=httpx2.Response,
                body=body,
                options=self._options(timeout=timeout),
                stream=streamed,
                stream_cls=openai.AsyncStream[object],
            ),
        )
        if (pattern := RequestTemplate.from_response(response, path)) is not None:
            self._templates[kind] = pattern
        return response

    async def _send_from_template(
        self, template: RequestTemplate, path: str, body: Json, *, streamed: bool
    ) -> httpx2.Response:
        """Sends a request as ``client.post`` does: one attempt, the same exceptions."""
        transport = self._client._client  # noqa: SLF001  # the SDK has no public access to its transport
        request = template.make_request(path, body, transport.cookies)
        try:
            response = await transport.send(request, stream=streamed)
        except httpx2.TimeoutException as exc:
            raise openai.APITimeoutError(request=request) from exc
        except httpx2.RequestError as exc:
            raise openai.APIConnectionError(request=request) from exc
        if response.is_success:
            return response
        await response.aread()
        raise self._client._make_status_error_from_response(response)  # noqa: SLF001  # nor to its choice of the exception class

    async def poll_until(self, path: str, is_done: Callable[[Json], bool], *, interval_seconds: float) -> Json:
        """GETs an object until ``is_done``: at once, then every ``interval_seconds`` or as often as the server says.

        Tolerates a few failures in a row. Raises AssistantUnavailable after that; permanent errors at once.
        """
        failures = 0
        while True:
            try:
                found, wait = await self._get_with_poll_interval(path)
                failures = 0
            except (AssistantUnavailable, AssistantRateLimited, ThreadBusy) as exc:
                failures += 1
                if failures >= MAX_POLL_FAILURES:
                    raise AssistantUnavailable(f"polling failed {failures} times in a row: {exc}") from exc
                log.debug("polling failed", error=str(exc), failures=failures)
                wait = exc.retry_after or interval_seconds * 2**failures
            else:
                if is_done(found):
                    return found
            await asyncio.sleep(min(interval_seconds if wait is None else wait, MAX_POLL_SECONDS))

    async def iterate_list(self, path: str, query: Mapping[str, object]) -> AsyncGenerator[Json, None]:
        """Yields the objects of a list, page by page."""
        last = None
        while True:
            page = await self.get(path, query if last is None else {**query, "after": last})
            found = as_objects(page.get("data"))
            for one in found:
                yield one
            before, last = last, as_text(page.get("last_id")) or (as_text(found[-1].get("id")) if found else "")
            if page.get("has_more") is not True or last in ("", before):
                return

    async def close(self) -> None:
        with suppress(Exception):  # errors while closing do not matter
            await self._client.close()

    async def _get_with_poll_interval(
        self, path: str, query: Mapping[str, object] | None = None
    ) -> tuple[Json, float | None]:
        """Returns the object, and the seconds after which the server wants the next poll (None: it does not say)."""
        with translated_errors():
            options = self._options(params=query, timeout=self._request_timeout)
            response = await self._client.get(path, cast_to=httpx2.Response, options=options)
            return parse_object(response.content), _poll_after_seconds(response)

    def _options(self, **options: Any) -> Any:
        return {"headers": self._headers} | {name: value for name, value in options.items() if value is not None}


async def _read_limited(response: httpx2.Response, max_bytes: int) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > max_bytes:
            raise AssistantRefused(
                f"the file is larger than {max_bytes} bytes", code="file_too_large", user_message=FILE_TOO_LARGE
            )
    return bytes(read)


def _poll_after_seconds(response: httpx2.Response) -> float | None:
    try:
        seconds = float(response.headers["openai-poll-after-ms"]) / 1000
    except (KeyError, ValueError):
        return None
    return max(seconds, MIN_POLL_SECONDS) if math.isfinite(seconds) else None


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Reads the rest of the stream after the last event, normally a few bytes, so that the connection can be reused."""
    with suppress(Exception):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


async def _close(response: httpx2.Response) -> None:
    with suppress(Exception):
        await response.aclose()


async def check_model(api: AssistantApiClient, model: str) -> None:
    """Raises AssistantMisconfigured if the server has no such model, NotFound if it has no model endpoints."""
    try:
        if not api.is_azure:  # Azure lists models by their own names, not by deployment
            await api.get(f"/models/{path_segment(model)}")
            return
    except NotFound:
        log.debug("server has no endpoint for a single model", host=api.host)
    await api.get("/models")
