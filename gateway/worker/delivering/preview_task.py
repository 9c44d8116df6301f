"""Shows the preview of a turn, unless the turn ends so soon that there is no need to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway.domain.stream_buffer import PreviewStream

PREVIEW_GRACE = 5.0
CANCEL_GRACE = 5.0
"""Seconds that a cancelled task has for its cleanup, such as releasing its lease."""
MAX_LATENESS = 0.005 + time.get_clock_info("monotonic").resolution
"""Seconds by which a timer may be late on a loop that keeps up. Windows' clock may tick every 16 ms only."""


class PreviewTask:
    """The task of one preview. A turn that ends in its platform's quiet period has none, and most do."""

    def __init__(
        self,
        show: Callable[[], Coroutine[Any, Any, None]],
        stream: PreviewStream,
        quiet_seconds: float,
        *,
        shows_events_only: bool = False,
    ) -> None:
        """``show``: shows what the turn does until its stream is closed; begun after ``quiet_seconds``.

        ``shows_events_only``: whether it is begun with the first event, as nothing is shown before.
        """
        self._show = show
        self._stream = stream
        self._quiet_seconds = quiet_seconds
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        if shows_events_only:
            stream.on_first = self._begin
        elif quiet_seconds:
            self._wait()
        else:
            self._begin()

    async def finish(self) -> None:
        """Closes the stream, waits up to ``PREVIEW_GRACE`` seconds until the rest is shown, then cancels the task.

        Called again, it does nothing.
        """
        self._stream.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and not self._task.done():
            _, late = await asyncio.wait((self._task,), timeout=PREVIEW_GRACE)
            await cancel_all(tuple(late))

    def _wait(self) -> None:
        self._due = self._loop.time() + self._quiet_seconds
        self._timer = self._loop.call_later(self._quiet_seconds, self._end_quiet_period)

    def _end_quiet_period(self) -> None:
        # A loop reads the clock once for all that is ready: how late it is shows behind that.
        self._timer = self._loop.call_soon(self._begin_or_wait)

    def _begin_or_wait(self) -> None:
        """Begins, or waits again while the loop does not keep up: to show what a turn does would delay the replies."""
        if self._loop.time() < self._due + MAX_LATENESS:
            self._begin()
        else:
            self._wait()

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._show())


async def cancel_all(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits up to ``CANCEL_GRACE`` seconds for their cleanup."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_GRACE)
