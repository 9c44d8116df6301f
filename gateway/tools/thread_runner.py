"""Runs tools that are plain functions in threads, so that none of them blocks the worker's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class TooManyStuckCalls(Exception):
    """Too many earlier calls of this function are still running past their time limit."""


class ThreadRunner:
    """Runs functions in threads, at most ``max_threads`` at once; further calls wait for a free slot.

    A thread cannot be killed, so one that exceeds its time limit is abandoned and its slot goes to the next call.
    Abandoned threads are bounded too: a function with ``max_stuck`` hanging calls is refused until one of them
    returns, while all others still run. So there are never more than ``max_threads``, plus ``max_stuck`` per function.
    The threads are daemons, so the process can exit even while they hang.
    """

    def __init__(self, max_threads: int = 16, max_stuck: int = 4) -> None:
        self._slots = asyncio.Semaphore(max_threads)
        self._max_stuck = max_stuck
        self._abandoned: Counter[str] = Counter()

    async def run(self, name: str, work: Callable[[], T], seconds: float) -> T:
        """Returns the result of ``work``, which must not raise.

        Raises TimeoutError after ``seconds`` of work, and TooManyStuckCalls.
        """
        async with self._slots:
            if self._abandoned[name] >= self._max_stuck:
                raise TooManyStuckCalls
            result = _start_thread(name, work)
            try:
                await asyncio.wait({result}, timeout=seconds)
            finally:
                if not result.done():
                    self._abandoned[name] += 1
                    result.add_done_callback(lambda _: self._abandoned.subtract([name]))
        if not result.done():
            raise TimeoutError
        return result.result()


def _start_thread(name: str, work: Callable[[], T]) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def body() -> None:
        outcome = context.run(work)
        with suppress(RuntimeError):  # the loop is closed, so no caller waits for the result
            loop.call_soon_threadsafe(result.set_result, outcome)

    # At exit the process waits for the threads of an executor, but not for daemons.
    threading.Thread(target=body, name=f"tool-{name}", daemon=True).start()  # noqa: TID251  # see above
    return result
