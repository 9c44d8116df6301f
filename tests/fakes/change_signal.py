"""Lets threads wait for a condition on state that other threads change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class ChangeSignal:
    """Wakes waiting threads at every change, so that they check their condition again."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._rung = threading.Condition(self.lock)
        self._changes = 0

    @contextmanager
    def notify(self) -> Iterator[None]:
        """Holds the lock during a change and wakes the waiting threads afterwards."""
        with self._rung:
            yield
            self._changes += 1
            self._rung.notify_all()

    def wait(self, ready: Callable[[], Any], timeout: float, describe: Callable[[], str]) -> Any:
        """Waits until ``ready`` returns something truthy; returns it. Raises AssertionError after ``timeout`` seconds.

        ``ready`` is called outside the lock, so it may call anything.
        """
        end = time.monotonic() + timeout
        while True:
            seen, started = self._changes, time.monotonic()
            if value := ready():
                return value
            now = time.monotonic()
            if now > end:
                raise AssertionError(f"the condition was not met within {timeout} s; {describe()}")
            self._pause(seen, 10 * (now - started), min(0.25, end - now))

    def _pause(self, seen: int, least: float, most: float) -> None:
        """Waits for a change, at most ``most`` seconds.

        If the check itself is slow, waits at least ``least`` seconds, so that many changes do not keep a core busy.
        """
        if least > 0.001:
            time.sleep(min(least, most))
        with self._rung:
            self._rung.wait_for(lambda: self._changes != seen, max(0.0, most - least))
