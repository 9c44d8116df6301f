"""Work of the adapter's own, beside requests and turns: on a loop in a thread of its own, until it is told to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from adapters.base.errors import Rejected
from adapters.telegram.errors import Reason
from adapters.telegram.reply_target import NAME
from gateway import logs
from gateway.errors import GatewayError

T = TypeVar("T")

PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds from one try to the next; the last one goes on."""

LOOK_SECONDS = 1.0
"""From one look to the next whether the interpreter ends."""

log = logs.get(__name__)


class Run(Protocol):
    """Runs a coroutine to its end, on a loop in the thread of whoever calls."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


class Errand:
    """One coroutine in a thread of its own. Thread-safe."""

    def __init__(self, run: Run, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._run = run
        self._work = work
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=NAME)
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None
        self._ended = False

    def begin(self) -> None:
        """Returns at once."""
        self._executor.submit(self._go)

    def end(self) -> None:
        """Cancel it, and return when it is over. After that, to begin it is a RuntimeError."""
        with self._lock:
            self._ended = True
            if self._cancel is not None:
                self._cancel()
        self._executor.shutdown()

    def _go(self) -> None:
        try:
            self._run(self._until_cancelled())
        except Exception:
            log.exception("Telegram is not attended to any more")

    async def _until_cancelled(self) -> None:
        task = asyncio.ensure_future(self._work())
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._ended:
                task.cancel()
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        watch = loop.create_task(_end_with_the_interpreter(task))
        try:
            with suppress(asyncio.CancelledError):
                await task
        finally:
            watch.cancel()
            with self._lock:  # the loop will be gone
                self._cancel = None


async def _end_with_the_interpreter(task: asyncio.Future[None]) -> None:
    """Nobody ends an errand when the process fails as it starts, and Python waits for threads of executors."""
    with suppress(RuntimeError):  # no thread begins any more
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(_nothing)
    task.cancel()


def _nothing() -> None:
    """For a thread that only shows that there still can be one."""


class Patience:
    """How long to wait after each failure in a row."""

    def __init__(self, pauses: Sequence[float] = PAUSES) -> None:
        self._pauses = pauses
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def after(self, exc: Exception) -> float:
        """Seconds. A token that is not valid does not get so by itself."""
        self._failures += 1
        if isinstance(exc, Rejected) and exc.reason is Reason.TOKEN:
            return self._pauses[-1]
        asked = exc.retry_after if isinstance(exc, GatewayError) else None
        return max(self._pauses[min(self._failures, len(self._pauses)) - 1], asked or 0.0)


async def insist(work: Callable[[], Awaitable[T]], what: str, pauses: Sequence[float] = PAUSES) -> T:
    """Try until it is done. ``what`` says in the log what is not done yet."""
    patience = Patience(pauses)
    while True:
        try:
            return await work()
        except Exception as exc:  # noqa: BLE001  # `complain` tells the known from the rest
            complain(what, exc)
            pause = patience.after(exc)
        await asyncio.sleep(pause)


def complain(what: str, exc: Exception) -> None:
    """Log a failure after which something is tried again: in one line if we know it, else with where it came from."""
    if isinstance(exc, GatewayError):
        log.warning(what, code=exc.code, error=str(exc))
    else:
        log.error(what, exc_info=exc)
