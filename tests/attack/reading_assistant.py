"""An assistant's server that reads requests of any size, keeps nothing of them, and answers each alike."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from tests.fakes.discarding_server import DiscardingServer

ANSWER = b'{"id": "c1", "choices": [{"message": {"content": "I have seen them."}, "finish_reason": "stop"}]}'


class ReadingAssistant:
    """Runs on a loop of its own, in a thread."""

    def __init__(self) -> None:
        self._server = DiscardingServer(ANSWER)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def received(self) -> int:
        """Bytes of all bodies so far."""
        return self._server.received

    async def _serve(self) -> None:
        async with self._server:
            self._ready.set()
            await self._stop.wait()
