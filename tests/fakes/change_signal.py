"""A bell that rings at every change, for those who wait in other threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Bell:
    """Rings at every change; whoever waits looks again."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._rung = threading.Condition(self.lock)
        self._changes = 0

    @contextmanager
    def change(self) -> Iterator[None]:
        """Keep others out, and tell those who wait when it is done."""
        with self._rung:
            yield
            self._changes += 1
            self._rung.notify_all()

    def wait(self, ready: Callable[[], Any], timeout: float, describe: Callable[[], str]) -> Any:
        """What ``ready`` says as soon as it is truthy. It is asked outside the lock, so it may call anything."""
        end = time.monotonic() + timeout
        while True:
            seen, begun = self._changes, time.monotonic()
            if value := ready():
                return value
            now = time.monotonic()
            if now > end:
                raise AssertionError(f"nothing like that within {timeout} s; {describe()}")
            self._pause(seen, 10 * (now - begun), min(0.25, end - now))

    def _pause(self, seen: int, least: float, most: float) -> None:
        """Until a change, and at least so many seconds if a look takes long: a thousand changes must cost no core."""
        if least > 0.001:
            time.sleep(min(least, most))
        with self._rung:
            self._rung.wait_for(lambda: self._changes != seen, max(0.0, most - least))
