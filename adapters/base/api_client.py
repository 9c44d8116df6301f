"""What clients of platforms' APIs share: rate limits, 429 answers, and errors that say what was done."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import ClassVar, TypeVar

from adapters.base.errors import PlatformRateLimited, RateLimitTimeout
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.ports.platform import DeliveryContext
from gateway.ports.token_buckets import Rate

MAX_ANSWER_BYTES = 32 * 2**20
"""Of one answer of a platform's API, files aside. The longest page of messages takes a tenth."""
RATE_LIMIT_PAUSE = 5.0
"""Seconds after which another try for a token is worth it."""

Result = TypeVar("Result")


class ApiClient(ABC):
    """A client of one platform's API."""

    platform: ClassVar[str]
    """The platform's name in messages."""

    @abstractmethod
    def translate(self, method: str, exc: Exception) -> DeliveryError:
        """Returns our error for an exception of the platform's library or of the network."""

    @abstractmethod
    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""

    def translated(self, method: str) -> Translated:
        """Replaces every exception of a ``with`` by a DeliveryError."""
        return Translated(self, method)

    async def limited(
        self,
        send: Callable[[], Awaitable[Result]],
        delivery: DeliveryContext,
        buckets: Mapping[str, Rate],
        *,
        max_wait: float,
    ) -> Result:
        """Takes a token from each bucket, then sends. ``buckets``: the narrowest first; a 429 blocks that one.

        ``max_wait``: seconds, for all tokens together. Raises RateLimitTimeout, LeaseLost, and what ``send`` raises.
        """
        if empty := await acquire_all(delivery, buckets, max_wait=max_wait):
            message = f"Too many calls to {self.platform} are waiting: no token for {empty}"
            raise RateLimitTimeout(message, retry_after=RATE_LIMIT_PAUSE)
        try:
            return await send()
        except PlatformRateLimited as exc:
            if buckets:
                with suppress(StoreUnavailable):  # then only this caller waits
                    await delivery.block_for(next(iter(buckets)), exc.retry_after or 0.0)
            raise


class Translated:
    """See ``ApiClient.translated``. A class, as a generator costs every call three times as much."""

    __slots__ = ("_client", "_method")

    def __init__(self, client: ApiClient, method: str) -> None:
        self._client = client
        self._method = method

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if isinstance(exc, Exception) and not isinstance(exc, DeliveryError):
            raise self._client.translate(self._method, exc) from exc


async def acquire_all(delivery: DeliveryContext, buckets: Mapping[str, Rate], *, max_wait: float) -> str | None:
    """Takes a token from each bucket. Returns the bucket that had none within ``max_wait`` seconds in all, or None."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + max_wait
    for bucket, rate in buckets.items():
        try:
            taken = await delivery.acquire(bucket, rate, max_wait=max(deadline - clock(), 0.0))
        except StoreUnavailable:
            taken = False
        if not taken:
            return bucket
    return None
