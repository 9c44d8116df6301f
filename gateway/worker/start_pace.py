"""Lets turns start a few at a time, so that a burst of them does not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context

STARTED_AT_ONCE = 8
"""Turns that may start in one round. A start takes a few milliseconds of CPU in several steps."""


class StartPace:
    """Of one event loop. A loop that keeps up starts a turn at once.

    A round takes twice as long as the loop needs for all that is ready: so what is in progress, and what is being
    accepted, goes on between two starts, and a turn that has started is soon complete.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = STARTED_AT_ONCE
        self._rounds: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Returns when one more turn may start. Those who wait are served in their order."""
        loop = asyncio.get_running_loop()
        if self._rounds is None:
            self._rounds = loop.create_task(self._run_rounds(), context=Context())
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    async def _run_rounds(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._left < STARTED_AT_ONCE or self._waiting:
            since = clock()
            await asyncio.sleep(0)
            await asyncio.sleep(clock() - since)
            self._left = STARTED_AT_ONCE
            self._start_waiting()
        self._rounds = None

    def _start_waiting(self) -> None:
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # it was cancelled
                turn.set_result(None)
                self._left -= 1
