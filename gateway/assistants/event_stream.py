"""The events of one answer, while it is received over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator
from contextlib import suppress
from typing import Self

import aiohttp

from gateway.assistants.error_map import raise_translated
from gateway.assistants.sse import BodyParser, Event
from gateway.domain.errors import AssistantRefused
from gateway.domain.sentences import sentence

MAX_STREAM_BYTES = 128 * 2**20
"""Of one streamed answer with all its events. The longest replies take a tenth, images some megabytes each."""
DRAIN_SECONDS = 0.05
"""Time to read the end of a stream after its last event: only then can the connection be reused."""
ANSWER_TOO_LONG = sentence("The assistant's answer did not come to an end. Please ask for less at once.")


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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        async with self._response:
            if exc is None and not self._response.content.at_eof():
                await self._drain()
        if isinstance(exc, Exception):
            raise_translated(exc, answer_began=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Iterator[Event]:
        if self._has_ended or self._parser.is_complete:
            raise StopAsyncIteration
        chunk = await self._response.content.readany()
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
