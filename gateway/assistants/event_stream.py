"""The events of one answer, while it is received over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator
from contextlib import suppress
from typing import Self

import aiohttp

from gateway.assistants.errors.translation import raise_translated
from gateway.assistants.sse import BodyParser, Event
from gateway.domain.errors import AssistantRefused
from gateway.domain.sentences import sentence

MAX_STREAM_BYTES = 128 * 2**20
"""Of one streamed answer with all its events. The longest replies take a tenth, images some megabytes each."""
DRAIN_SECONDS = 0.05
"""Time to read the end of a stream after its last event: only then can the connection be reused."""
ANSWER_TOO_LONG = sentence("The assistant's answer did not come to an end. Please ask for less at once.")


class SilenceTimer:
    """Ends a wait for the next bytes of a response that takes too long. Made when its headers are there.

    aiohttp sets its timer again at each read, which is a tenth of what an answer in short pieces costs. This one runs
    on, and looks how long the wait has lasted.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self._loop = asyncio.get_running_loop()
        self._waits_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        protocol = response.connection.protocol if response.connection else None  # None: all has come
        if protocol is not None and protocol.read_timeout:
            # Its own timer, which may run once more, is not set again.
            self._seconds, protocol.read_timeout = protocol.read_timeout, None
            self._timer = self._loop.call_later(self._seconds, self._look)

    async def read(self) -> bytes:
        """Returns the next bytes; none at the end. Raises aiohttp.ClientError; SocketTimeoutError after a silence."""
        self._waits_since = self._loop.time()
        chunk = await self._content.readany()
        self._waits_since = None
        return chunk

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        waited = 0.0 if self._waits_since is None else self._loop.time() - self._waits_since
        if waited < self._seconds:
            self._timer = self._loop.call_later(self._seconds - waited, self._look)
        else:
            self._content.set_exception(aiohttp.SocketTimeoutError(f"nothing came for {self._seconds:g} s"))


class EventStream:
    """Iterates over the events of an answer, those together that came together, and END if it is complete.

    Each group is to be read before the next. Use as an async context manager, which closes the connection, or keeps it
    for the next request. Whatever is raised inside leaves it as AssistantError, also by who reads the events.
    """

    def __init__(self, response: aiohttp.ClientResponse, ignored: Container[str] = ()) -> None:
        """``ignored``: names of events that nobody reads."""
        self._response = response
        self._parser = BodyParser(ignored)
        self._bytes_left = MAX_STREAM_BYTES
        self._has_ended = False
        self._silence = SilenceTimer(response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        self._silence.close()
        if not self._response.content.at_eof():  # else aiohttp has its connection back
            async with self._response:
                if exc is None:
                    await self._drain()
        if isinstance(exc, Exception):
            raise_translated(exc, answer_began=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Iterator[Event]:
        if self._has_ended or self._parser.is_complete:
            raise StopAsyncIteration
        chunk = await self._silence.read()
        if not chunk:
            self._has_ended = True
            return self._parser.close()
        self._bytes_left -= len(chunk)
        if self._bytes_left < 0:
            raise AssistantRefused(
                f"the answer is longer than {MAX_STREAM_BYTES} bytes", code="too_long", user_message=ANSWER_TOO_LONG
            )
        return self._parser.feed(chunk)

    async def _drain(self) -> None:
        """Reads what comes after the last event, normally a few bytes."""
        with suppress(Exception):
            async with asyncio.timeout(DRAIN_SECONDS):
                while await self._response.content.readany():
                    pass
