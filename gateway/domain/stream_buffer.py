"""What a turn shows while it runs, on its way from the assistant to the platform."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.domain.models import Shown, TextDelta


class Live(AsyncIterator[Shown]):
    """What a turn shows while it runs. Text that nobody has fetched yet is merged: a slow viewer holds nothing up."""

    def __init__(self) -> None:
        self._waiting: deque[Shown] = deque()
        self._news = asyncio.Event()
        self._closed = False
        self.watched = True

    def put(self, event: Shown) -> None:
        if not self.watched:
            return
        if isinstance(event, TextDelta) and self._waiting and isinstance(last := self._waiting[-1], TextDelta):
            self._waiting[-1] = TextDelta(last.text + event.text)
        else:
            self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def __anext__(self) -> Shown:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Written:
    """What a turn has said so far, for who shows it at a pace of their own. Filled by one task, read by others."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()

    def put(self, shown: Shown) -> None:
        if isinstance(shown, TextDelta) and shown.text:
            self._text.append(shown.text)
            self._begun.set()
            self.change()

    def change(self) -> None:
        """There is something new to show."""
        self._changed.set()

    def close(self) -> None:
        """Nothing follows."""
        for event in (self._closed, self._begun, self._changed):
            event.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def text(self) -> str:
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    async def began(self, seconds: float) -> bool:
        """Wait so long for the first words, or until nothing follows. Whether it is no use to wait on."""
        return await _within(self._begun, seconds)

    async def news(self, seconds: float | None = None) -> bool:
        """Wait until something has changed since the last time, or nothing follows. Whether it was in time."""
        came = await _within(self._changed, seconds)
        if came and not self.closed:
            self._changed.clear()
        return came

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until nothing follows."""
        await _within(self._closed, seconds)


async def _within(event: asyncio.Event, seconds: float | None) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
