"""What an adapter may call while it delivers one turn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway.coordination.lease import LeaseGuard
from gateway.coordination.rate_limiter import RateLimiter
from gateway.domain.models import File
from gateway.ports.assistant import Assistant
from gateway.ports.store import Rate, SetPostedMessages


class WorkerDeliveryContext:
    """Implements ``gateway.ports.platform.DeliveryContext``."""

    def __init__(self, rate_limiter: RateLimiter, assistant: Assistant, lease_guard: LeaseGuard) -> None:
        self._rate_limiter = rate_limiter
        self._assistant = assistant
        self._lease_guard = lease_guard
        self.first_attempt = lease_guard.claim.first_attempt
        self.posted_messages = lease_guard.claim.turn.posted_messages

    async def save_progress(self, posted_messages: Sequence[str]) -> None:
        posted = tuple(posted_messages)
        if posted != self.posted_messages:
            await self._lease_guard.write(partial(SetPostedMessages, posted_messages=posted))
            self.posted_messages = posted
        await self._lease_guard.assert_held()  # the adapter posts next, which cannot be undone

    async def read_file(self, file: File) -> bytes:
        return await self._assistant.fetch_file(file)

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        taken = await self._rate_limiter.acquire(bucket, rate, max_wait=max_wait)
        if taken:  # the adapter sends a request next, which cannot be undone
            await self._lease_guard.assert_held()
        return taken

    async def block_for(self, bucket: str, seconds: float) -> None:
        await self._rate_limiter.block_for(bucket, seconds)
