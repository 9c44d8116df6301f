"""Delivers events, commands and clicks to an app, by HTTP or over a socket, with Slack's retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp

from tests.fakes.platform_api import encode
from tests.fakes.slack_events import signed_headers
from tests.fakes.slack_faults import Json
from tests.fakes.slack_socket_mode import SocketModeServer
from tests.fakes.slack_state import SlackState

PayloadKind = Literal["events_api", "slash_commands", "interactive"]

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """An event, command or click to deliver; the same for every attempt."""

    kind: PayloadKind
    payload: Json
    id: str

    def body(self) -> tuple[bytes, str]:
        """Returns the HTTP body and its content type."""
        if self.kind == "events_api":
            return encode(self.payload).encode(), "application/json"
        form = self.payload if self.kind == "slash_commands" else {"payload": encode(self.payload)}
        return urlencode(form).encode(), FORM


@dataclass(frozen=True, slots=True)
class SlackDeliveryAttempt:
    """One delivery attempt."""

    event_id: str
    """Its event_id; for a command or a click its trigger_id."""
    retry_num: int
    status: int
    """HTTP status of the app's answer; 200 for an acknowledgement over a socket, 0 if there was no answer."""
    seconds: float
    """Seconds from sending to the end of the answer."""
    reason: str = ""
    """Why it failed, as x-slack-retry-reason names it."""
    answer: str = ""
    """The body of the app's answer, as text."""
    request: PendingRequest | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class SlackEventSender:
    """Delivers requests, each in a task of its own, so that none waits for another."""

    def __init__(
        self,
        state: SlackState,
        sockets: SocketModeServer,
        *,
        retry_delays: Sequence[float],
        response_timeout: float,
        max_parallel: int,
    ) -> None:
        self._state = state
        self._sockets = sockets
        self._retry_delays = retry_delays
        self._response_timeout = response_timeout
        self._max_parallel = max_parallel
        self.urls: dict[PayloadKind, str | None] = {}
        self.deliveries: list[SlackDeliveryAttempt] = []
        self.in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(self._max_parallel)
        connector = aiohttp.TCPConnector(limit=0)
        self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        self._loop = None
        for task in self._tasks.copy():
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    def enqueue(self, *parcels: PendingRequest, retry_num: int = 0) -> None:
        """Starts delivering these requests in this order; callable from any thread. Raises RuntimeError when the fake
        is not running.
        """
        if self._loop is None:
            raise RuntimeError("the fake Slack is not running")
        with self._state.notify():
            self.in_flight += len(parcels)
        self._loop.call_soon_threadsafe(self._start_all, parcels, retry_num)

    def _start_all(self, parcels: Sequence[PendingRequest], retry_num: int) -> None:
        for parcel in parcels:
            self.start_task(self._deliver(parcel, retry_num))

    def start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, parcel: PendingRequest, retry_num: int) -> None:
        """Attempts delivery until the app accepts it, or all retries have failed."""
        reason = ""
        try:
            for pause in (0.0, *self._retry_delays):
                if pause:
                    await asyncio.sleep(pause)
                done = await self._attempt(parcel, retry_num, reason)
                with self._state.notify():
                    self.deliveries.append(done)
                if done.accepted:
                    return
                retry_num, reason = retry_num + 1, done.reason
        finally:
            with self._state.notify():
                self.in_flight -= 1

    async def _attempt(self, parcel: PendingRequest, retry_num: int, reason: str) -> SlackDeliveryAttempt:
        async with self._slots:
            begun = time.perf_counter()
            status, reason, answer = await self._send(parcel, retry_num, reason)
        seconds = time.perf_counter() - begun
        return SlackDeliveryAttempt(parcel.id, retry_num, status, seconds, reason, answer, parcel)

    async def _send(self, parcel: PendingRequest, retry_num: int, reason: str) -> tuple[int, str, str]:
        try:
            async with asyncio.timeout(self._response_timeout):
                if url := self.urls.get(parcel.kind):
                    return await self._post(url, parcel, retry_num, reason)
                answer = await self._sockets.send(parcel.kind, parcel.payload, retry_num, reason)
                return 200, "", answer
        except TimeoutError:
            return 0, "http_timeout", ""
        except (aiohttp.ClientError, ConnectionError, OSError):
            return 0, "connection_failed", ""

    async def _post(self, url: str, parcel: PendingRequest, retry_num: int, reason: str) -> tuple[int, str, str]:
        body, content_type = parcel.body()
        headers = signed_headers(body, content_type=content_type, retry=retry_num, reason=reason)
        try:
            async with self._http.post(url, data=body, headers=headers, max_redirects=2) as response:
                answer = (await response.read()).decode(errors="replace")
        except aiohttp.TooManyRedirects:
            return 0, "too_many_redirects", ""
        if response.ok:
            return response.status, "", answer
        return response.status, "http_error", answer
