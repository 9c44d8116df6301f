"""Token buckets for the rate limits of platforms: in the database if processes share it, otherwise in memory."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import Rate

MIN_BUCKETS_BEFORE_SWEEP = 1000
"""The number of buckets in memory above which those not used lately are removed."""
MAX_REFILL_SECONDS = 120.0
"""Seconds after which any unused bucket is full again, whatever its rate."""


class RateLimiter:
    """The rate limiter of one worker. Used on its loop only.

    A bucket gains a token every ``Rate.interval`` seconds and holds up to ``Rate.burst``; a token that is not due yet
    may be taken in advance and waited for.
    """

    def __init__(self, store: AsyncStore, *, shared: bool) -> None:
        self._store = store
        self._shared = shared
        self._next_token_at: dict[str, float] = {}
        """By bucket, when its next token becomes valid (``time.monotonic``). Times long past are removed."""
        self._sweep_at = MIN_BUCKETS_BEFORE_SWEEP

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        """Waits for a token. Returns False at once if the wait would exceed ``max_wait`` seconds."""
        wait = await self._take_token(bucket, rate, max_wait)
        if wait is None:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
        return True

    async def block_for(self, bucket: str, seconds: float) -> None:
        """Blocks a bucket: none of its tokens becomes valid for so many seconds."""
        self._next_token_at[bucket] = max(self._next_token_at.get(bucket, 0.0), time.monotonic() + seconds)
        if self._shared:
            with suppress(StoreUnavailable):
                await self._store.read(lambda store: store.block_for(bucket, seconds))

    async def _take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        if self._shared:
            with suppress(StoreUnavailable):  # each process counts alone while the database is unavailable
                return await self._store.take_token(bucket, rate, max_wait)
        return self._take_local_token(bucket, rate, max_wait)

    def _take_local_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        now = time.monotonic()
        valid_at = max(self._next_token_at.get(bucket, 0.0), now - (rate.burst - 1) * rate.interval)
        wait = max(valid_at - now, 0.0)
        if wait > max_wait:
            return None
        self._next_token_at[bucket] = valid_at + rate.interval
        if len(self._next_token_at) > self._sweep_at:
            self._sweep(now)
        return wait

    def _sweep(self, now: float) -> None:
        self._next_token_at = {
            bucket: at for bucket, at in self._next_token_at.items() if at > now - MAX_REFILL_SECONDS
        }
        self._sweep_at = max(MIN_BUCKETS_BEFORE_SWEEP, 2 * len(self._next_token_at))
