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

    def take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        with self._lock:
            now = time.monotonic()
            following = max(self._next.get(bucket, 0.0), now - (rate.burst - 1) * rate.interval)
            wait = max(following - now, 0.0)
            if wait > max_wait:
                return None
            self._next[bucket] = following + rate.interval
            return wait
