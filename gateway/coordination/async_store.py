"""The store for asyncio code: calls run in a small thread pool; what is asked for together commits together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gateway.coordination.group_commit import GroupCommit
from gateway.coordination.retry import Backoff, retry
from gateway.coordination.threads import Threads, in_thread
from gateway.domain.errors import StoreUnavailable
from gateway.ports.leased_writes import LeasedWrite, WriteResult
from gateway.ports.store import Store
from gateway.ports.token_buckets import TokenRequest

T = TypeVar("T")

BACKOFF = Backoff(0.1, 5.0)
"""While the database is unavailable."""


class AsyncStore:
    """The store as the worker calls it. Used on the worker's loop only."""

    def __init__(self, store: Store, threads: Threads) -> None:
        self._store = store
        self._threads = threads
        self._writes: GroupCommit[LeasedWrite, WriteResult] = GroupCommit(self._apply)
        self._tokens: GroupCommit[TokenRequest, float | None] = GroupCommit(self._take_all)

    async def call(self, operation: Callable[[Store], T]) -> T:
        """Calls ``operation`` with the store in a thread; returns its result. Raises what it raises."""
        return await in_thread(self._threads, operation, self._store)

    async def call_with_retry(self, operation: Callable[[Store], T]) -> T:
        """Calls ``operation`` like ``call``, and retries until the database is available."""
        work = partial(self.call, operation)
        return await retry(work, "database unavailable; retrying", BACKOFF, retried=StoreUnavailable)

    def write(self, change: LeasedWrite) -> asyncio.Future[WriteResult]:
        """Commits a lease holder's write; its result is there once it is on disk. Raises LeaseLost where it is awaited.

        Waits while the database is unavailable: whether the lease still holds is checked when the write is applied.
        """
        return self._writes.add(change)

    def take_tokens(self, request: TokenRequest) -> Awaitable[float | None]:
        """Takes tokens of a bucket in the database, see ``Store.take_tokens``. Raises StoreUnavailable likewise.

        What is asked for while other tokens are being taken is taken by one transaction.
        """
        return self._tokens.add(request)

    async def get_value(self, name: str) -> str | None:
        return await self.call(lambda store: store.get_value(name))

    async def set_value_if_absent(self, name: str, value: str) -> str:
        return await self.call(lambda store: store.set_value_if_absent(name, value))

    async def _take_all(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        return await self.call(lambda store: store.take_tokens(requests))

    async def _apply(self, writes: Sequence[LeasedWrite]) -> Sequence[WriteResult | Exception]:
        try:
            return await self.call_with_retry(lambda store: store.apply_writes(writes))
        except Exception as exc:  # noqa: BLE001  # it is raised again where the write is awaited
            if len(writes) == 1:
                return (exc,)
            # One by one, so that only the write at fault fails.
            return [result for write in writes for result in await self._apply((write,))]
