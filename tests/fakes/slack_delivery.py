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
from tests.fakes.slack_events import signed
from tests.fakes.slack_faults import Json
from tests.fakes.slack_socket_mode import Sockets
from tests.fakes.slack_state import World

Kind = Literal["events_api", "slash_commands", "interactive"]

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event, command or click to deliver; the same for every attempt."""

    kind: Kind
    payload: Json
    id: str

    def body(self) -> tuple[bytes, str]:
        """Returns the HTTP body and its content type."""
        if self.kind == "events_api":
            return encode(self.payload).encode(), "application/json"
        form = self.payload if self.kind == "slash_commands" else {"payload": encode(self.payload)}
        return urlencode(form).encode(), FORM


@dataclass(frozen=True, slots=True)
class Delivery:
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
    parcel: Parcel | None = None

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


class Courier:
    """Delivers requests, each in a task of its own, so that none waits for another."""

    def __init__(
        self, world: World, sockets: Sockets, *, pauses: Sequence[float], patience: float, parallel: int
    ) -> None:
        self._world = world
        self._sockets = sockets
        self._pauses = pauses
        self._patience = patience
        self._parallel = parallel
        self.urls: dict[Kind, str | None] = {}
        self.deliveries: list[Delivery] = []
        self.under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(self._parallel)
        connector = aiohttp.TCPConnector(limit=0)
        self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        self._loop = None
        for task in self._tasks.copy():
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    def bring(self, *parcels: Parcel, retry_num: int = 0) -> None:
        """Starts delivering these requests in this order; callable from any thread. Raises RuntimeError when the fake
        is not running.
        """
        if self._loop is None:
            raise RuntimeError("the fake Slack is not running")
        with self._world.change():
            self.under_way += len(parcels)
        self._loop.call_soon_threadsafe(self._spawn_all, parcels, retry_num)

    def _spawn_all(self, parcels: Sequence[Parcel], retry_num: int) -> None:
        for parcel in parcels:
            self.spawn(self._bring(parcel, retry_num))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring(self, parcel: Parcel, retry_num: int) -> None:
        """Attempts delivery until the app accepts it, asks for no retry, or all retries have failed."""
        reason = ""
        try:
            for pause in (0.0, *self._pauses):
                if pause:
                    await asyncio.sleep(pause)
                done = await self._attempt(parcel, retry_num, reason)
                with self._world.change():
                    self.deliveries.append(done)
                if done.taken or done.reason == "no_retry":
                    return
                retry_num, reason = retry_num + 1, done.reason
        finally:
            with self._world.change():
                self.under_way -= 1

    async def _attempt(self, parcel: Parcel, retry_num: int, reason: str) -> Delivery:
        async with self._places:
            begun = time.perf_counter()
            status, reason, answer = await self._send(parcel, retry_num, reason)
        seconds = time.perf_counter() - begun
        return Delivery(parcel.id, retry_num, status, seconds, reason, answer, parcel)

    async def _send(self, parcel: Parcel, retry_num: int, reason: str) -> tuple[int, str, str]:
        try:
            async with asyncio.timeout(self._patience):
                if url := self.urls.get(parcel.kind):
                    return await self._post(url, parcel, retry_num, reason)
                answer = await self._sockets.send(parcel.kind, parcel.payload, retry_num, reason)
                return 200, "", answer
        except TimeoutError:
            return 0, "http_timeout", ""
        except (aiohttp.ClientError, ConnectionError, OSError):
            return 0, "connection_failed", ""

    async def _post(self, url: str, parcel: Parcel, retry_num: int, reason: str) -> tuple[int, str, str]:
        body, content_type = parcel.body()
        headers = signed(body, content_type=content_type, retry=retry_num, reason=reason)
        try:
            async with self._http.post(url, data=body, headers=headers, max_redirects=2) as response:
                answer = (await response.read()).decode(errors="replace")
        except aiohttp.TooManyRedirects:
            return 0, "too_many_redirects", ""
        if response.ok:
            return response.status, "", answer
        final = response.headers.get("X-Slack-No-Retry") == "1"
        return response.status, "no_retry" if final else "http_error", answer
