"""Places under the limits of platforms: counted in the database where several processes share them, else here."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from gateway.coordination.async_store import Journal
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import Rate

SWEEP_AT = 1000
"""So many buckets are kept before those that nobody used lately are forgotten."""
LONGEST_BURST = 120.0
"""Seconds after which a bucket is full again, whatever its rate."""


class Limits:
    """One per engine; used on its loop only.

    Each bucket is a line of places, ``every`` seconds apart, of which up to ``burst`` may be taken ahead of their time.
    """

    def __init__(self, journal: Journal, *, shared: bool) -> None:
        self._journal = journal
        self._shared = shared
        self._next: dict[str, float] = {}
        """When the next place of each bucket comes free. What has passed is swept out."""
        self._sweep_at = SWEEP_AT

    async def take(self, bucket: str, rate: Rate, *, patience: float) -> bool:
        """Wait for a place. False, at once, if that takes over ``patience`` seconds."""
        wait = await self._place(bucket, rate, patience)
        if wait is None:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
        return True

    async def hold_off(self, bucket: str, seconds: float) -> None:
        """No place comes free for so many seconds."""
        self._next[bucket] = max(self._next.get(bucket, 0.0), time.monotonic() + seconds)
        if self._shared:
            with suppress(StoreUnavailable):
                await self._journal.read(lambda store: store.hold_off(bucket, seconds))

    async def _place(self, bucket: str, rate: Rate, patience: float) -> float | None:
        if self._shared:
            with suppress(StoreUnavailable):  # then each process counts for itself until the database is back
                return await self._journal.read(lambda store: store.reserve(bucket, rate, patience))
        return self._reserve(bucket, rate, patience)

    def _reserve(self, bucket: str, rate: Rate, patience: float) -> float | None:
        now = time.monotonic()
        following = max(self._next.get(bucket, 0.0), now - (rate.burst - 1) * rate.every)
        wait = max(following - now, 0.0)
        if wait > patience:
            return None
        self._next[bucket] = following + rate.every
        if len(self._next) > self._sweep_at:
            self._sweep(now)
        return wait

    def _sweep(self, now: float) -> None:
        self._next = {bucket: at for bucket, at in self._next.items() if at > now - LONGEST_BURST}
        self._sweep_at = max(SWEEP_AT, 2 * len(self._next))
