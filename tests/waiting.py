"""Waits for what another thread or process brings about and tells nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

Value = TypeVar("Value")

PAUSE_SECONDS = 0.002


def until(look: Callable[[], Value | None], seconds: float = 20.0) -> Value:
    """Looks again and again until there is something, and returns it. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(PAUSE_SECONDS)
    return found


async def until_async(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    """Looks again and again beside what else the event loop does. Fails after so many seconds."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(PAUSE_SECONDS)


class ThreadEvent(asyncio.Event):
    """An event for coroutines that another thread sets, by an event of threads."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    async def wait(self) -> Literal[True]:
        while not self._event.is_set():  # noqa: ASYNC110  # the other side is a thread
            await asyncio.sleep(PAUSE_SECONDS)
        return True
