"""What a turn shows while it runs, on its way from the assistant to the platform."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from gateway.messages import Shown, TextDelta


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
