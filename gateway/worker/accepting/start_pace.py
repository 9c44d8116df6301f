"""Lets turns start a few at a time, so that a burst of them, or of messages, does not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import Context

STARTED_AT_ONCE = 16
"""Turns that may start in one round. A start takes a few milliseconds of CPU in several steps: more of them hold up a
message that is accepted meanwhile for longer, and take hardly less each.
"""
MAX_BURST_WAIT = 1.0
"""Seconds for which turns are at most delayed while messages are being accepted."""


class StartPace:
    """Of one event loop. A loop that keeps up starts a turn at once, unless a message is being accepted.

    Entered for the time in which a message is accepted: turns and messages compete for one CPU, and the senders of the
    messages wait for it.

    A round takes twice as long as the loop needs for all that is ready: so what is in progress, and what is being
    accepted, goes on between two starts, and a turn that has started is soon complete.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        """What turns wait for, and since when, in their order."""
        self._left = STARTED_AT_ONCE
        self._rounds: asyncio.Task[None] | None = None
        self._accepting = 0
        """How many messages are being accepted."""
        self._all_accepted = asyncio.Event()
        """Set when it has become none."""
        self.holds_turns_back = False
        """Whether turns wait for that."""

    def __enter__(self) -> None:
        self._accepting += 1

    def __exit__(self, *_: object) -> None:
        self._accepting -= 1
        if not self._accepting:
            self.holds_turns_back = False
            self._all_accepted.set()

    async def wait(self) -> None:
        """Returns when one more turn may start. Those who wait are served in their order."""
        loop = asyncio.get_running_loop()
        if self._rounds is None:
            self._rounds = loop.create_task(self._run_rounds(), context=Context())
        if self._left and not (self._waiting or self._accepting):
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append((turn, loop.time()))
        self.holds_turns_back = self._accepting > 0
        await turn

    async def _run_rounds(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._left < STARTED_AT_ONCE or self._waiting:
            since = clock()
            await asyncio.sleep(0)
            await asyncio.sleep(clock() - since)
            await self._until_accepted()
            self._left = STARTED_AT_ONCE
            self._start_waiting()
        self._rounds = None

    async def _until_accepted(self) -> None:
        """Waits until no message is being accepted, or until who waits longest has waited for MAX_BURST_WAIT."""
        if not self.holds_turns_back:
            return
        self._all_accepted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._waiting[0][1] + MAX_BURST_WAIT):
                await self._all_accepted.wait()
        self.holds_turns_back = False

    def _start_waiting(self) -> None:
        while self._left and self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():  # it was cancelled
                turn.set_result(None)
                self._left -= 1
