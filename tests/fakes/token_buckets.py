"""Rate limits in memory, with the store's arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock

from gateway.ports.token_buckets import Rate, TokenRequest


class FakeTokenBuckets:
    """Implements gateway.ports.store.TokenBuckets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}
        self._lock = Lock()

    def take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        wait = self._take(TokenRequest(bucket, rate, max_wait))
        return None if wait is None else max(wait, 0.0)

    def take_tokens(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        return [self._take(request) for request in requests]

    def block_for(self, bucket: str, seconds: float) -> None:
        with self._lock:
            self._next[bucket] = max(self._next.get(bucket, 0.0), self._clock() + seconds)

    def _take(self, request: TokenRequest) -> float | None:
        bucket, rate = request.bucket, request.rate
        with self._lock:
            now = self._clock()
            following = max(self._next.get(bucket, 0.0), now - (rate.burst - 1) * rate.interval)
            if following - now > request.max_wait:
                return None
            self._next[bucket] = following + rate.interval * request.count
            return following - now
