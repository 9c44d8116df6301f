"""The API client for the assistant's server: JSON and event streams over one SDK client per process.

The SDK supplies keys, URLs and exceptions. Requests are sent by ``transport`` and responses are decoded here: the
SDK's generated resources cost 20 MB and, while streaming, five times the CPU.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import httpx2

from gateway import logs
from gateway.assistants import sdk
from gateway.assistants.errors.error_map import ModelLoading, NotFound
from gateway.assistants.errors.translation import translated_errors
from gateway.assistants.event_stream import EventStream
from gateway.assistants.instructions import Instructions
from gateway.assistants.json_fields import as_objects, as_text
from gateway.assistants.sse import MAX_LINE_BYTES, Json, parse_object
from gateway.assistants.transport import CONNECT_SECONDS, SdkHttpClient, Transport
from gateway.coordination.lease import assert_current_lease_held
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    ThreadBusy,
)
from gateway.domain.files import Content
from gateway.domain.sentences import sentence
from gateway.http_client import HttpClient, StreamedBody, multipart, read_limited
from gateway.ports.spool import FileWriter
from gateway.settings import Settings

REQUEST_SECONDS = 60.0
"""Timeout of requests that do not wait for a model."""
STREAM_IDLE_SECONDS = 120.0
"""Seconds without a byte after which a stream is given up, if its run can be followed by polling."""
SPARE_CONNECTIONS = 100
LOADING_SECONDS = 1.0
MAX_LOADING_SECONDS = 10.0
"""The first and the longest pause before a server that loads its model is asked again."""
MAX_POLL_FAILURES = 4
MIN_POLL_SECONDS = 0.02
MAX_POLL_SECONDS = 30.0
VERSION = "/v1"
"""Where most servers have their API: https://api.openai.com/v1."""
VERSION_IN_PATH = re.compile(r"/v\d")
NOTHING_THERE = (NotFound.code, AssistantMisconfigured.code)
"""Codes of the errors of a path that is not there, or is a web page."""
MAX_ID_CHARS = 256
BINARY_HEADERS = {"accept": "application/binary"}
FILE_TOO_LARGE = sentence("A file that the assistant made is too large to be sent here.")
NO_KEY = "none"
"""Sent to a self-hosted server that needs no key, because the SDK requires one."""

log = logs.get_logger(__name__)


def connect(settings: Settings) -> sdk.AsyncOpenAI:
    """Returns the SDK client for these settings. No I/O. Raises SettingsError."""
    silence = settings.assistant_timeout_seconds
    timeout = httpx2.Timeout(connect=CONNECT_SECONDS, read=silence, write=REQUEST_SECONDS, pool=REQUEST_SECONDS)
    # A run uses one connection, and one more while it is polled or cancelled. The load balancer of a server may know
    # its callers by cookies.
    http = HttpClient(max_connections=2 * settings.max_runs + SPARE_CONNECTIONS, keeps_cookies=True)
    # A repeated POST would repeat the message, so retries are left to the code that knows whether that is safe.
    options: dict[str, Any] = {"http_client": SdkHttpClient(http), "timeout": timeout, "max_retries": 0}
    if settings.azure_openai_endpoint and settings.azure_openai_api_key:
        return sdk.AsyncAzureOpenAI(
            azure_endpoint=settings.azure_openai_endpoint,
            api_key=settings.azure_openai_api_key.get_secret_value(),
            api_version=settings.azure_openai_api_version,
            **options,
        )
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else NO_KEY
    return sdk.AsyncOpenAI(api_key=key, base_url=settings.openai_base_url, **options)


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
    name: str = "Assistant"
    """What the instructions call the assistant."""
    time_zone: str = "UTC"
    """The time zone of dates in the instructions: an IANA name."""
    parameters: Json = field(default_factory=dict)
    """Fields of each request that say how the model answers, such as ``temperature``."""

    @property
    def template(self) -> Instructions:
        return Instructions(self.instructions, self.name, self.time_zone)


class AssistantApiClient:
    """Requests to one server. Every method raises AssistantError only; a path that is not there is NotThere.

    A POST in the course of a turn also raises LeaseLost, when another process has the turn by now.
    """

    def __init__(self, client: sdk.AsyncOpenAI, headers: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._transport = Transport(client, headers or {})

    @property
    def base_url(self) -> str:
        return str(self._client.base_url)

    @property
    def is_azure(self) -> bool:
        return isinstance(self._client, sdk.AsyncAzureOpenAI)

    @property
    def host(self) -> str:
        return self._client.base_url.netloc.decode()

    async def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        return (await self._get_with_poll_interval(path, query))[0]

    async def post(self, path: str, body: Json) -> Json:
        """POSTs a request that does not wait for a model; see ``stream`` for the others."""
        with translated_errors():
            response = await self._post(path, body, REQUEST_SECONDS)
            return parse_object(await read_limited(response, MAX_LINE_BYTES))

    async def upload(self, path: str, fields: Mapping[str, str], name: str, media_type: str, content: Content) -> Json:
        """POSTs a file as a multipart form."""
        with translated_errors():
            body = StreamedBody(content.size, content.pieces, media_type)
            form = multipart(fields, {"file": (name, body, media_type)})
            response = await self._transport.send(
                "POST", path, body=form, model=fields.get("model"), idle_seconds=REQUEST_SECONDS
            )
            return parse_object(await read_limited(response, MAX_LINE_BYTES))

    async def download(self, path: str, writer: FileWriter, max_bytes: int) -> None:
        """Downloads a file. Raises AssistantRefused as soon as it exceeds ``max_bytes``; what ``writer`` raises."""
        with translated_errors():
            async with await self._transport.send(
                "GET", path, headers=BINARY_HEADERS, idle_seconds=REQUEST_SECONDS
            ) as response:
                await _copy(response, writer, max_bytes)

    async def delete(self, path: str) -> None:
        with translated_errors():
            async with await self._transport.send("DELETE", path, idle_seconds=REQUEST_SECONDS):
                pass

    async def stream(
        self, path: str, body: Json, *, idle_seconds: float | None = None, ignored: Container[str] = ()
    ) -> EventStream:
        """POSTs, and returns the events of the response, and END. A response that is one JSON object is one event.

        Use as ``async with await api.stream(…) as events``. Waits while the server loads its model, until the turn's
        time is up. Raises, and its events raise, AssistantUnavailable after ``idle_seconds`` without a byte (None: the
        client's own timeout). ``ignored``: names of events that nobody reads.
        """
        pause = LOADING_SECONDS
        while True:
            try:
                with translated_errors():
                    return EventStream(await self._post(path, body, idle_seconds), ignored)
            except ModelLoading as exc:
                log.info("the server loads its model; waiting", path=path, error=str(exc))
                await asyncio.sleep(pause if exc.retry_after is None else max(exc.retry_after, MIN_POLL_SECONDS))
                pause = min(2 * pause, MAX_LOADING_SECONDS)

    async def _post(self, path: str, body: Json, idle_seconds: float | None) -> aiohttp.ClientResponse:
        await assert_current_lease_held()
        return await self._transport.send("POST", path, body=body, idle_seconds=idle_seconds)

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
            response = await self._transport.send("GET", path, query=query, idle_seconds=REQUEST_SECONDS)
            body = await read_limited(response, MAX_LINE_BYTES)
            return parse_object(body), _poll_after_seconds(response)


async def _copy(response: aiohttp.ClientResponse, writer: FileWriter, max_bytes: int) -> None:
    async for chunk in response.content.iter_any():
        if writer.size + len(chunk) > max_bytes:
            raise AssistantRefused(
                f"the file is larger than {max_bytes} bytes", code="file_too_large", user_message=FILE_TOO_LARGE
            )
        await writer.write(chunk)


def _poll_after_seconds(response: aiohttp.ClientResponse) -> float | None:
    try:
        seconds = float(response.headers["openai-poll-after-ms"]) / 1000
    except (KeyError, ValueError):
        return None
    return max(seconds, MIN_POLL_SECONDS) if math.isfinite(seconds) else None


async def check_model(api: AssistantApiClient, model: str) -> None:
    """Raises AssistantMisconfigured if the server has no such model, NotFound if it has no model endpoints.

    AssistantMisconfigured too if its API is at another address.
    """
    try:
        await _ask_for_model(api, model)
    except AssistantRefused as exc:
        await reject_address_without_version(api, exc)
        raise


async def _ask_for_model(api: AssistantApiClient, model: str) -> None:
    try:
        if not api.is_azure:  # Azure lists models by their own names, not by deployment
            await api.get(f"/models/{path_segment(model)}")
            return
    except NotFound:
        log.debug("server has no endpoint for a single model", host=api.host)
    await api.get("/models")


async def reject_address_without_version(api: AssistantApiClient, error: AssistantRefused) -> None:
    """Raises AssistantMisconfigured if the API is under ``/v1`` of the address where ``error`` was the answer."""
    if api.is_azure or VERSION_IN_PATH.search(urlsplit(api.base_url).path) or error.code not in NOTHING_THERE:
        return
    try:
        await api.get(f"{VERSION}/models")
    except AssistantError:
        return
    raise AssistantMisconfigured(
        f"The API is not at OPENAI_BASE_URL, but below it: write {VERSION} at its end"
    ) from error
