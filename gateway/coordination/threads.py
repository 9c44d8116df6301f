"""Calls in other threads, for code on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar, TypeVarTuple

from gateway import logs

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logs.get_logger(__name__)


class Threads(Protocol):
    """Threads in which calls are made: a ``ThreadPool``, or an executor."""

    def submit(self, call: Callable[[], object], /) -> object:
        """Has a call made in one of the threads. Returns at once."""


class ThreadPool:
    """Threads that make calls in the order in which they were submitted.

    An executor makes a future for each call, with a lock of its own: that takes four times as long as to hand it over.
    """

    def __init__(self, size: int, name: str) -> None:
        """``name``: with which the names of the threads begin. They end with the process, if not by ``shutdown``."""
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._is_shut_down = False
        self._threads = [
            Thread(target=self._make_calls, name=f"{name}_{number}", daemon=True) for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], object], /) -> None:
        """Has a call made. What it raises is logged. Raises RuntimeError after ``shutdown``."""
        if self._is_shut_down:
            raise RuntimeError("the threads are shut down")
        self._calls.put(call)

    def shutdown(self) -> None:
        """Returns when all calls are made that were submitted, and the threads have ended."""
        self._is_shut_down = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _make_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:
                log.exception("a call in a thread failed")
            del call  # with what it holds, before the next one is waited for


def in_thread(threads: Threads, function: Callable[[*Ts], T], *arguments: *Ts) -> asyncio.Future[T]:
    """Returns what to await for the result of a call in a thread. Cancelled, it keeps the call from beginning only."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    threads.submit(lambda: _call(future, function, *arguments))
    return future


def _call(future: asyncio.Future[T], function: Callable[[*Ts], T], *arguments: *Ts) -> None:
    if future.cancelled():
        return
    try:
        result = function(*arguments)
    except BaseException as exc:  # noqa: BLE001  # raised to the caller
        _tell(future, future.set_exception, exc)
    else:
        _tell(future, future.set_result, result)


def _tell(future: asyncio.Future[T], settle: Callable[[Any], None], outcome: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        future.get_loop().call_soon_threadsafe(_settle, future, settle, outcome)


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any) -> None:
    if not future.cancelled():
        settle(outcome)
