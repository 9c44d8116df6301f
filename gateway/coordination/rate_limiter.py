"""Token buckets for the rate limits of platforms: in the database if processes share it, otherwise in memory."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import StoreUnavailable
from gateway.ports.token_buckets import Rate, TokenRequest

MIN_BUCKETS_BEFORE_SWEEP = 1000
"""The number of buckets in memory above which those not used lately are removed."""
MAX_REFILL_SECONDS = 120.0
"""Seconds after which any unused bucket is full again, whatever its rate."""
BLOCK_SECONDS = 0.25
"""How long a process keeps tokens that it took in advance, and the time in which a rate has to give a whole block."""
BLOCK_OF_BURST = 10
"""... or a block is this fraction of a burst, so that other processes get their share of it."""


@dataclass(slots=True)
class TokenBlock:
    """Tokens of one bucket in the database that this process took together. Those that nobody uses here are lost."""

    size: int = 0
    until: float = 0.0
    """When what is left of it expires (``time.monotonic``)."""
    valid_at: deque[float] = field(default_factory=deque)
    """When each token that is left becomes valid."""
    doubt: float = 0.0
    """By how many seconds these times may be too late, as nobody knows when the database read its clock."""
    is_asked_for: bool = False
    """Whether the next block is being taken."""

    def take(self, rate: Rate, now: float) -> float | None:
        """Takes the first token; returns when it is valid. None: none is left.

        A bucket forgets tokens that are older than a burst. Here they are of no use either, so that a block lets
        through no more in any time than tokens that are taken one by one.
        """
        oldest = now - (rate.burst - 1) * rate.interval + self.doubt
        while self.valid_at and now <= self.until:
            valid_at = self.valid_at.popleft()
            if valid_at >= oldest:
                return valid_at
        return None

    def next_size(self, now: float, most: int) -> int:
        """Returns the size of the next block: twice this one's if it was used up in time, else 1."""
        return min(2 * self.size, most) if now <= self.until else 1


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
        self._blocks: dict[str, TokenBlock] = {}
        """By bucket of a high rate, the newest block of its tokens in the database."""
        self._sweep_at = MIN_BUCKETS_BEFORE_SWEEP

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        """Waits for a token. Returns False at once if the wait would exceed ``max_wait`` seconds."""
        if self._shared:
            wait = await self._take_token(bucket, rate, max_wait)
        else:
            wait = self._take_local_token(bucket, rate, max_wait)
        if wait is None:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
        return True

    async def block_for(self, bucket: str, seconds: float) -> None:
        """Blocks a bucket: none of its tokens becomes valid for so many seconds."""
        self._blocks.pop(bucket, None)
        self._next_token_at[bucket] = max(self._next_token_at.get(bucket, 0.0), time.monotonic() + seconds)
        if self._shared:
            with suppress(StoreUnavailable):
                await self._store.call(lambda store: store.block_for(bucket, seconds))

    async def _take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        with suppress(StoreUnavailable):  # each process counts alone while the database is unavailable
            return await self._take_shared_token(bucket, rate, max_wait)
        return self._take_local_token(bucket, rate, max_wait)

    async def _take_shared_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        """Takes a token of the current block, or of the database. Raises StoreUnavailable.

        A block is taken only while tokens are used up as fast, and is at most twice as large as the one before. So a
        bucket that is used now and then has none, and little is left over after a burst.
        """
        most = max(int(BLOCK_SECONDS / rate.interval), rate.burst // BLOCK_OF_BURST)
        block = self._blocks.setdefault(bucket, TokenBlock()) if most > 1 else None
        if block is None or block.is_asked_for:
            return await self._store.take_tokens(TokenRequest(bucket, rate, max_wait))
        now = time.monotonic()
        valid_at = block.take(rate, now)
        if valid_at is None:
            return await self._take_block(block, TokenRequest(bucket, rate, max_wait, block.next_size(now, most)))
        if valid_at - now > max_wait:
            block.valid_at.appendleft(valid_at)
            return None
        return max(valid_at - now, 0.0)

    async def _take_block(self, block: TokenBlock, request: TokenRequest) -> float | None:
        """Takes a block of tokens; keeps all but the first, whose wait is returned. Raises StoreUnavailable."""
        block.is_asked_for, since = True, time.monotonic()
        try:
            wait = await self._store.take_tokens(request)
        finally:
            block.is_asked_for = False
        if wait is None:
            return None
        now, interval = time.monotonic(), request.rate.interval
        block.size, block.until, block.doubt = request.count, now + BLOCK_SECONDS, now - since
        block.valid_at = deque(now + wait + number * interval for number in range(1, request.count))
        self._forget_blocks(now)
        return max(wait, 0.0)

    def _forget_blocks(self, now: float) -> None:
        """Removes expired blocks if there are many."""
        if len(self._blocks) > MIN_BUCKETS_BEFORE_SWEEP:
            kept = {bucket: block for bucket, block in self._blocks.items() if block.until >= now or block.is_asked_for}
            self._blocks = kept

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
