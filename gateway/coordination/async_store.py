"""The store for asyncio code: calls run in a small thread pool; writes that arrive together commit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from gateway.coordination.retry import Backoff, retry
from gateway.domain.errors import LeaseLost, StoreUnavailable
from gateway.ports.store import LeasedWrite, Store, WriteResult

T = TypeVar("T")
PendingWrite = tuple[LeasedWrite, "asyncio.Future[WriteResult]"]

MAX_BATCH = 200
BACKOFF = Backoff(0.1, 5.0)
"""While the database is unavailable."""


class AsyncStore:
    """The store as the worker calls it. Used on the worker's loop only."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._pending: list[PendingWrite] = []
        self._flushing: asyncio.Task[None] | None = None

    async def read(self, operation: Callable[[Store], T]) -> T:
        """Calls ``operation`` with the store in a thread; returns its result. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, operation, self._store)

    async def read_with_retry(self, operation: Callable[[Store], T]) -> T:
        """Calls ``operation`` like ``read``, and retries until the database is available."""
        work = partial(self.read, operation)
        return await retry(work, "database unavailable; retrying", BACKOFF, retried=StoreUnavailable)

    async def write(self, change: LeasedWrite) -> WriteResult:
        """Commits a lease holder's write; returns its result once it is on disk. Raises LeaseLost.

        Waits while the database is unavailable: whether the lease still holds is checked when the write is applied.
        """
        future: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()
        self._pending.append((change, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        result = await future
        if isinstance(result, LeaseLost):
            raise result
        return result

    async def get_value(self, name: str) -> str | None:
        return await self.read(lambda store: store.get_value(name))

    async def set_value_if_absent(self, name: str, value: str) -> str:
        return await self.read(lambda store: store.set_value_if_absent(name, value))

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
                await self._commit(batch)
        finally:
            self._flushing = None

    async def _commit(self, batch: Sequence[PendingWrite]) -> None:
        writes = [write for write, _ in batch]
        try:
            results = await self.read_with_retry(lambda store: store.apply_writes(writes))
        except Exception as exc:  # noqa: BLE001  # it is raised again where the write is awaited
            await self._commit_individually(batch, exc)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _commit_individually(self, batch: Sequence[PendingWrite], exc: Exception) -> None:
        """Commits the writes of a failed batch one by one, so that only the write at fault fails."""
        if len(batch) > 1:
            for pending in batch:
                await self._commit([pending])
        elif not batch[0][1].done():
            batch[0][1].set_exception(exc)
