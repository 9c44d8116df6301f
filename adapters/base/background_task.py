"""Runs an adapter's own work beside requests and turns, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.coordination.retry import Backoff

T = TypeVar("T")

BACKOFF = Backoff(1.0, 60.0)
"""For calls to a platform that nobody waits for."""

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
