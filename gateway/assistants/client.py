"""The way to a server: one SDK client for the process, and a wire that carries JSON and event streams over it.

The SDK brings keys, addresses, connections and exceptions. Requests go through its verbs (``client.post``) and
answers are decoded here: its generated resources cost 20 MB and, while streaming, five times the CPU. Its verbs in
turn cost more CPU than the connection: of POSTs of one kind it makes the first, and the others are made like it.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import httpx2
import openai

from gateway import logs
from gateway.assistants.shapes import parts, text
from gateway.assistants.sse import Event, Json, events, parse
from gateway.assistants.vendor_errors import BadRequest, NotThere, our_words
from gateway.errors import RateLimited, Refused, SettingsError, ThreadBusy, Unavailable
from gateway.grip import ensure_held
from gateway.settings import Settings

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""For requests that do not wait for a model."""
SILENCE_SECONDS = 120.0
"""After which a stream that can be picked up elsewhere is given up."""
KEEPALIVE_SECONDS = 60.0
DRAIN_SECONDS = 0.05
"""For the end of a stream whose last event was read: a connection can be used again only then."""
SPARE_CONNECTIONS = 100
POLL_FAILURES = 4
SHORTEST_POLL = 0.02
LONGEST_POLL = 30.0
LONGEST_ID = 256
BINARY = {"accept": "application/binary"}
TOO_LARGE = "A file that the assistant made is too large to be brought here."
NO_KEY = "none"
"""What is sent to a server of one's own that wants no key: the SDK insists on one."""

Events = AsyncGenerator[Event, None]

log = logs.get(__name__)


def connect(settings: Settings) -> openai.AsyncOpenAI:
    """The SDK's client for these settings. No I/O. Raises SettingsError."""
    silence = settings.assistant_timeout_seconds
    timeout = httpx2.Timeout(connect=CONNECT_SECONDS, read=silence, write=ANSWER_SECONDS, pool=ANSWER_SECONDS)
    # A run holds one connection; while it polls or is cancelled, one more.
    limits = httpx2.Limits(
        max_connections=2 * settings.max_runs + SPARE_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS
    )
    _check_urls(settings)
    transport = openai.DefaultAioHttpClient(limits=limits, timeout=timeout)
    # A repeated POST is a repeated message: whether to ask again is decided where that is known.
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
            raise SettingsError(f"{name} must be an address that begins with http:// or https://.")


def segment(name: str) -> str:
    """An id as one part of a path. Raises NotThere for what no server ever gave out as one."""
    quoted = quote(name, safe="")
    if quoted in {"", ".", ".."} or len(name) > LONGEST_ID:
        raise NotThere("no id of a server's")
    return quoted


@dataclass(frozen=True, slots=True)
class Setup:
    """How the assistant is wanted."""

    model: str
    instructions: str = ""
    hosted: tuple[Json, ...] = ()
    """Tools of the server's, as its API wants them."""
    streamed: bool = True
    """False: do not stream, but poll or wait."""
    poll_seconds: float = 1.0
    """Between two looks at a run, unless the server says when."""
    transcription_model: str = ""
    """What turns recordings into text; empty: nothing does."""


class Extras:
    """Fields that are not for every server: it says by name which it does not take, or cannot do without."""

    def __init__(self, fields: Json, on_demand: Json | None = None) -> None:
        """``fields`` are sent until the server complains of them, those ``on_demand`` from then on."""
        self._fields = dict(fields)
        self._on_demand = dict(on_demand or {})

    @property
    def fields(self) -> Json:
        """What to send now: the same object until something changes."""
        return self._fields

    def adapt(self, error: BadRequest) -> bool:
        """Whether the complaint was of one of ours, and is heeded from now on."""
        words = set(re.split(r"[^a-z_]+", (error.param or str(error)).lower()))
        named = next((name for name in (*self._fields, *self._on_demand) if name in words), None)
        if named is None:
            return False
        log.info("server complains of a field", field=named, sent=named in self._fields)
        more = {} if named in self._fields else {named: self._on_demand.pop(named)}
        self._fields = {name: value for name, value in self._fields.items() if name != named} | more
        return True


_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode  # as the SDK writes it
_url = lru_cache(maxsize=64)(httpx2.URL)  # reading one costs a tenth of a request, and most are of a few


@dataclass(frozen=True, slots=True, repr=False)  # the headers hold the key
class Pattern:
    """A POST as the SDK made it, to make others like it: they differ in path, body and cookies."""

    before: str
    """The address up to the path that was asked for; Azure's has the deployment in it."""
    after: str
    headers: httpx2.Headers
    extensions: Mapping[str, Any]
    """The timeouts, and on Azure where its key may go to."""

    @classmethod
    def of(cls, response: httpx2.Response, path: str) -> Self | None:
        """That of the request that was answered; None when the SDK or a redirect made something else of the path."""
        request = response.request
        before, found, after = str(request.url).rpartition(path)
        if response.history or not found:
            return None
        own = {b"cookie", b"content-length"}
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in own]
        return cls(before, after, httpx2.Headers(headers), dict(request.extensions))

    def request(self, path: str, body: Json, cookies: httpx2.Cookies) -> httpx2.Request:
        return httpx2.Request(
            "POST",
            _url(f"{self.before}{path}{self.after}"),
            headers=self.headers,
            cookies=cookies,
            content=_encoded(body).encode(),
            extensions=dict(self.extensions),
        )


class Wire:
    """Requests to one server. Every method raises AssistantError only; a path that is not there is NotThere.

    A POST in the course of a turn also raises LeaseLost, when another process has the turn by now.
    """

    def __init__(self, client: openai.AsyncOpenAI, headers: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._headers = dict(headers or {})
        self._brief = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._patterns: dict[tuple[str, str, float | None, bool], Pattern] = {}

    @property
    def base_url(self) -> str:
        return str(self._client.base_url)

    @property
    def azure(self) -> bool:
        return isinstance(self._client, openai.AsyncAzureOpenAI)

    @property
    def host(self) -> str:
        return self._client.base_url.netloc.decode()

    async def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        return (await self._look(path, query))[0]

    async def post(self, path: str, body: Json) -> Json:
        """For what no model works on: see ``stream``."""
        with our_words():
            return parse((await self._post(path, body, ANSWER_SECONDS, streamed=False)).content)

    async def upload(self, path: str, fields: Mapping[str, str], name: str, media_type: str, content: bytes) -> Json:
        """POST a file as a form."""
        with our_words():
            options = self._options(timeout=self._brief)
            options["headers"] = {**self._headers, "content-type": "multipart/form-data"}
            file = (name, content, media_type)
            response = await self._client.post(
                path, cast_to=httpx2.Response, body=dict(fields), files={"file": file}, options=options
            )
            return parse(response.content)

    async def content(self, path: str, most: int) -> bytes:
        """The bytes that are there. Raises Refused as soon as they are more than ``most``."""
        with our_words():
            options = self._options(timeout=self._brief)
            options["headers"] = {**self._headers, **BINARY}
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
            async with AsyncExitStack() as last:
                last.push_async_callback(_close, response)
                return await _read(response, most)

    async def delete(self, path: str) -> None:
        with our_words():
            await self._client.delete(path, cast_to=httpx2.Response, options=self._options(timeout=self._brief))

    @asynccontextmanager
    async def stream(
        self, path: str, body: Json, extras: Extras | None = None, *, silence: float | None = None
    ) -> AsyncIterator[Events]:
        """POST, and read the events that come back. A server that answers with one object sends it as one event.

        ``silence``: seconds without a byte after which the server is Unavailable; the client's own when None.
        """
        response = await self._open(path, body, extras or Extras({}), silence)
        with our_words():
            async with AsyncExitStack() as last:
                last.push_async_callback(_close, response)
                chunks = response.aiter_bytes()
                read = events(chunks) if _streams(response) else _whole(response)
                last.push_async_callback(read.aclose)
                yield read
                await _drain(chunks)

    async def _open(self, path: str, body: Json, extras: Extras, silence: float | None) -> httpx2.Response:
        while True:
            fields = extras.fields
            try:
                with our_words():
                    return await self._post(path, body | fields, silence, streamed=True)
            except BadRequest as exc:
                if fields is extras.fields and not extras.adapt(exc):  # unless another request has learnt it meanwhile
                    raise

    async def _post(self, path: str, body: Json, silence: float | None, *, streamed: bool) -> httpx2.Response:
        await ensure_held()
        # All that the SDK looks at: it treats paths with the same first part alike, and Azure's has the model in it.
        kind = (path.split("/")[1], text(body.get("model")), silence, streamed)
        if (pattern := self._patterns.get(kind)) is not None:
            return await self._send_like(pattern, path, body, streamed=streamed)
        timeout = None if silence is None else httpx2.Timeout(silence, connect=CONNECT_SECONDS)
        response = cast(
            "httpx2.Response",  # the signature knows streams only, whatever cast_to says
            await self._client.post(
                path,
                cast_to=httpx2.Response,
                body=body,
                options=self._options(timeout=timeout),
                stream=streamed,
                stream_cls=openai.AsyncStream[object],
            ),
        )
        if (pattern := Pattern.of(response, path)) is not None:
            self._patterns[kind] = pattern
        return response

    async def _send_like(self, pattern: Pattern, path: str, body: Json, *, streamed: bool) -> httpx2.Response:
        """What ``client.post`` does with a request that it has made: one attempt, and the same exceptions."""
        transport = self._client._client  # noqa: SLF001  # its connections and cookies have no public name
        request = pattern.request(path, body, transport.cookies)
        try:
            response = await transport.send(request, stream=streamed)
        except httpx2.TimeoutException as exc:
            raise openai.APITimeoutError(request=request) from exc
        except httpx2.RequestError as exc:
            raise openai.APIConnectionError(request=request) from exc
        if response.is_success:
            return response
        await response.aread()
        raise self._client._make_status_error_from_response(response)  # noqa: SLF001  # nor has its choice of a class

    async def until(self, path: str, over: Callable[[Json], bool], *, every: float) -> Json:
        """Ask for an object at once, and then every so many seconds or when the server wants, until it is ``over``.

        A few failures in a row are borne. Raises Unavailable after that, and at once whatever is permanent.
        """
        failures = 0
        while True:
            try:
                found, wait = await self._look(path)
                failures = 0
            except (Unavailable, RateLimited, ThreadBusy) as exc:
                failures += 1
                if failures >= POLL_FAILURES:
                    raise Unavailable(f"asked {failures} times how it goes: {exc}") from exc
                log.debug("polling failed", error=str(exc), failures=failures)
                wait = exc.retry_after or every * 2**failures
            else:
                if over(found):
                    return found
            await asyncio.sleep(min(every if wait is None else wait, LONGEST_POLL))

    async def listed(self, path: str, query: Mapping[str, object]) -> AsyncGenerator[Json, None]:
        """The objects of a list, page after page."""
        last = None
        while True:
            page = await self.get(path, query if last is None else {**query, "after": last})
            found = parts(page.get("data"))
            for one in found:
                yield one
            before, last = last, text(page.get("last_id")) or (text(found[-1].get("id")) if found else "")
            if page.get("has_more") is not True or last in ("", before):
                return

    async def close(self) -> None:
        with suppress(Exception):  # nothing of it is wanted any more
            await self._client.close()

    async def _look(self, path: str, query: Mapping[str, object] | None = None) -> tuple[Json, float | None]:
        """The object, and after how many seconds the server wants to be asked again."""
        with our_words():
            options = self._options(params=query, timeout=self._brief)
            response = await self._client.get(path, cast_to=httpx2.Response, options=options)
            return parse(response.content), _poll_after(response)

    def _options(self, **options: Any) -> Any:
        return {"headers": self._headers} | {name: value for name, value in options.items() if value is not None}


def _streams(response: httpx2.Response) -> bool:
    return "json" not in response.headers.get("content-type", "")


async def _whole(response: httpx2.Response) -> AsyncGenerator[Event, None]:
    yield "", parse(await response.aread())


async def _read(response: httpx2.Response, most: int) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > most:
            raise Refused(f"the file has more than {most} bytes", code="file_too_large", sentence=TOO_LARGE)
    return bytes(read)


def _poll_after(response: httpx2.Response) -> float | None:
    try:
        seconds = float(response.headers["openai-poll-after-ms"]) / 1000
    except (KeyError, ValueError):
        return None
    return max(seconds, SHORTEST_POLL) if math.isfinite(seconds) else None


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read what follows the last event, which should be next to nothing: only then the connection is used again."""
    with suppress(Exception):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


async def _close(response: httpx2.Response) -> None:
    with suppress(Exception):
        await response.aclose()


async def find_model(wire: Wire, model: str) -> None:
    """Raises Misconfigured when the server says that it has no such model, NotThere when it does not tell of models."""
    try:
        if not wire.azure:  # which tells of models by their own names, not by those of one's deployments
            await wire.get(f"/models/{segment(model)}")
            return
    except NotThere:
        log.debug("server does not tell of single models", host=wire.host)
    await wire.get("/models")
