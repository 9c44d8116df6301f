"""The asyncio side of the store: reads cross by a small executor, writes that meet on the way commit together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from gateway import logs
from gateway.domain.errors import LeaseLost, StoreUnavailable
from gateway.ports.store import Change, Result, Store

T = TypeVar("T")
Waiting = tuple[Change, "asyncio.Future[Result]"]

BATCH = 200
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

log = logs.get(__name__)


class Journal:
    """One per engine; used on its loop only."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._waiting: list[Waiting] = []
        self._flushing: asyncio.Task[None] | None = None

    async def read(self, work: Callable[[Store], T]) -> T:
        """Do something with the store, off the loop. Raises what the store raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._store)

    async def insist(self, work: Callable[[Store], T]) -> T:
        """The same, but a database that is away is waited for."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self.read(work)
            except StoreUnavailable as exc:
                log.warning("database away", error=str(exc), retry_in=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def write(self, change: Change) -> Result:
        """Commit a lease holder's change; return when it is on disk. Raises LeaseLost.

        A database that is away is waited for: the fence decides whether the change still counts when it is back.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        result = await future
        if isinstance(result, LeaseLost):
            raise result
        return result

    async def recall(self, name: str) -> str | None:
        return await self.read(lambda store: store.recall(name))

    async def remember(self, name: str, value: str) -> str:
        return await self.read(lambda store: store.remember(name, value))

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._commit(batch)
        finally:
            self._flushing = None

    async def _commit(self, batch: Sequence[Waiting]) -> None:
        changes = [change for change, _ in batch]
        try:
            results = await self.insist(lambda store: store.write(changes))
        except Exception as exc:  # noqa: BLE001  # whatever it is belongs to whoever waits for this write
            await self._commit_apart(batch, exc)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _commit_apart(self, batch: Sequence[Waiting], exc: Exception) -> None:
        """One change that the database does not take must not take the others down with it."""
        if len(batch) > 1:
            for waiting in batch:
                await self._commit([waiting])
        elif not batch[0][1].done():
            batch[0][1].set_exception(exc)
