"""The store for asyncio code: calls run in a small thread pool; writes that arrive together commit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from gateway import logs
from gateway.coordination.group_commit import GroupCommit
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import LeasedWrite, Store, WriteResult

T = TypeVar("T")

FIRST_RETRY_DELAY = 0.1
MAX_RETRY_DELAY = 5.0

log = logs.get_logger(__name__)


class AsyncStore:
    """The store as the worker calls it. Used on the worker's loop only."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._writes: GroupCommit[LeasedWrite, WriteResult] = GroupCommit(self._apply)

    async def read(self, operation: Callable[[Store], T]) -> T:
        """Calls ``operation`` with the store in a thread; returns its result. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, operation, self._store)

    async def read_with_retry(self, operation: Callable[[Store], T]) -> T:
        """Calls ``operation`` like ``read``, and retries until the database is available."""
        pause = FIRST_RETRY_DELAY
        while True:
            try:
                return await self.read(operation)
            except StoreUnavailable as exc:
                log.warning("database unavailable; retrying", error=str(exc), retry_in=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_DELAY)

    async def write(self, change: LeasedWrite) -> WriteResult:
        """Commits a lease holder's write; returns its result once it is on disk. Raises LeaseLost.

        Waits while the database is unavailable: whether the lease still holds is checked when the write is applied.
        """
        return await self._writes.add(change)

    async def get_value(self, name: str) -> str | None:
        return await self.read(lambda store: store.get_value(name))

    async def set_value_if_absent(self, name: str, value: str) -> str:
        return await self.read(lambda store: store.set_value_if_absent(name, value))

    async def _apply(self, writes: Sequence[LeasedWrite]) -> Sequence[WriteResult | Exception]:
        try:
            return await self.read_with_retry(lambda store: store.apply_writes(writes))
        except Exception as exc:  # noqa: BLE001  # it is raised again where the write is awaited
            if len(writes) == 1:
                return (exc,)
            # One by one, so that only the write at fault fails.
            return [result for write in writes for result in await self._apply((write,))]
