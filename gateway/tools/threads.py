"""Threads for the tools that are plain functions, so that none of them ever holds up the engine's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress


class Stuck(Exception):
    """Earlier calls of this function are still running, long past their time."""


class Threads:
    """Runs functions beside the loop, ``room`` at once; further ones wait for room, which is never long:

    a thread cannot be killed, so one that passes its limit is left behind, and its room goes to the next call.
    What is left behind stays bounded too: a function of which ``stuck`` calls hang is refused until one of them
    comes back, while all others go on. So there are never more than ``room`` threads and ``stuck`` per function.
    The threads are daemons: whatever they hang in, the process can exit.
    """

    def __init__(self, room: int = 16, stuck: int = 4) -> None:
        self._room = asyncio.Semaphore(room)
        self._stuck = stuck
        self._left_behind: Counter[str] = Counter()

    async def run(self, name: str, work: Callable[[], str], limit: float) -> str:
        """What ``work`` returns; it must not raise. Raises TimeoutError after ``limit`` seconds of work, and Stuck."""
        async with self._room:
            if self._left_behind[name] >= self._stuck:
                raise Stuck
            result = _start(name, work)
            try:
                await asyncio.wait({result}, timeout=limit)
            finally:
                if not result.done():
                    self._left_behind[name] += 1
                    result.add_done_callback(lambda _: self._left_behind.subtract([name]))
        if not result.done():
            raise TimeoutError
        return result.result()


def _start(name: str, work: Callable[[], str]) -> asyncio.Future[str]:
    loop = asyncio.get_running_loop()
    result: asyncio.Future[str] = loop.create_future()
    surroundings = contextvars.copy_context()

    def body() -> None:
        outcome = surroundings.run(work)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(result.set_result, outcome)

    # An executor's threads are waited for when the process exits; only a daemon may be left behind.
    threading.Thread(target=body, name=f"tool-{name}", daemon=True).start()  # noqa: TID251  # see above
    return result
