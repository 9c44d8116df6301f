"""Caches slow results for a short time, so that many open pages cause one query."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class TtlCache(Generic[T]):
    """A cache with a time to live. Thread-safe: callers wait for a load that is in progress and share its result."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[float, T]] = {}
        self._locks: dict[str, Lock] = {}

    def get(self, key: str, ttl_seconds: float, load: Callable[[], T]) -> T:
        """Returns the cached value, or calls ``load`` if it is older than ``ttl_seconds``. Raises what ``load`` raises.

        Failures are not cached. Use it for few keys: none is ever removed.
        """
        with self._locks.setdefault(key, Lock()):
            until, value = self._values.get(key, (0.0, None))
            if value is not None and time.monotonic() < until:
                return value
            value = load()
            self._values[key] = (time.monotonic() + ttl_seconds, value)
            return value
