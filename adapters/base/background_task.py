"""Runs an adapter's own work beside requests and turns, in a thread of its own, and retries what fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.domain.errors import GatewayError

T = TypeVar("T")

PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between attempts. After the last one, it repeats."""

INTERPRETER_CHECK_SECONDS = 1.0

log = logs.get_logger(__name__)


class RunCoroutine(Protocol):
    """Runs a coroutine to its end, on a new event loop in the calling thread."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


class BackgroundTask:
    """One coroutine on an event loop in a thread of its own, where it may block. Thread-safe."""

    def __init__(self, run: RunCoroutine, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._run = run
        self._work = work
        self._name = name
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None
        self._cancelled = False

    def start(self) -> None:
        """Returns at once. Raises RuntimeError after ``cancel``."""
        self._executor.submit(self._run_in_thread)

    def cancel(self) -> None:
        """Cancels the coroutine. Returns at once."""
        with self._lock:
            self._cancelled = True
            if self._cancel is not None:
                self._cancel()
        self._executor.shutdown(wait=False)

    def stop(self) -> None:
        """Cancels the coroutine, and returns when it has ended."""
        self.cancel()
        self._executor.shutdown()

    def _run_in_thread(self) -> None:
        try:
            self._run(self._until_cancelled())
        except Exception:
            log.exception("background task failed and is not restarted", task=self._name)

    async def _until_cancelled(self) -> None:
        task = asyncio.ensure_future(self._work())
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._cancelled:
                task.cancel()
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        watch = loop.create_task(_cancel_at_interpreter_exit(task))
        try:
            with suppress(asyncio.CancelledError):
                await task
        finally:
            watch.cancel()
            with self._lock:  # the loop is about to close
                self._cancel = None


async def _cancel_at_interpreter_exit(task: asyncio.Future[None]) -> None:
    """Cancels a task that nothing stops when the process fails at start: Python waits for threads of executors."""
    with suppress(RuntimeError):  # no thread can be started any more
        while True:
            await asyncio.sleep(INTERPRETER_CHECK_SECONDS)
            await asyncio.to_thread(_do_nothing)
    task.cancel()


def _do_nothing() -> None:
    """Shows, by being run in a thread, that threads can still be started."""


class Backoff:
    """How long to wait after each failure in a row."""

    def __init__(self, pauses: Sequence[float], credentials_rejected: Callable[[Exception], bool]) -> None:
        """``credentials_rejected``: whether an error means that the platform does not accept our credentials."""
        self._pauses = pauses
        self._credentials_rejected = credentials_rejected
        self._failures = 0

    def log(self, problem: str, exc: Exception) -> None:
        """Logs a failure that is retried: an error of ours in one line, any other with its traceback."""
        if not isinstance(exc, GatewayError):
            log.error(problem, exc_info=exc)
        elif self._credentials_rejected(exc):
            log.error(problem, code=exc.code, error=str(exc))
        else:
            log.warning(problem, code=exc.code, error=str(exc))

    def pause_after(self, exc: Exception) -> float:
        """Returns seconds: the longest pause for credentials, which only the operator can correct."""
        self._failures += 1
        if self._credentials_rejected(exc):
            return self._pauses[-1]
        requested = exc.retry_after if isinstance(exc, GatewayError) else None
        return max(self._pauses[min(self._failures, len(self._pauses)) - 1], requested or 0.0)


async def retry_forever(work: Callable[[], Awaitable[T]], problem: str, backoff: Backoff) -> T:
    """Repeats ``work`` until it succeeds. ``problem``: the log line for each failure."""
    while True:
        try:
            return await work()
        except Exception as exc:  # noqa: BLE001  # the log shows unknown ones with their traceback
            backoff.log(problem, exc)
            pause = backoff.pause_after(exc)
        await asyncio.sleep(pause)
