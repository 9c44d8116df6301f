"""Rate limits in memory, with the store's arithmetic."""

from __future__ import annotations

import time
from threading import Lock

from gateway.ports.store import Rate


class FakeTokenBuckets:
    """Implements gateway.ports.store.TokenBuckets."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._lock = Lock()

    def reserve(self, bucket: str, rate: Rate, patience: float) -> float | None:
        with self._lock:
            now = time.monotonic()
            following = max(self._next.get(bucket, 0.0), now - (rate.burst - 1) * rate.every)
            wait = max(following - now, 0.0)
            if wait > patience:
                return None
            self._next[bucket] = following + rate.every
            return wait
