"""Commits together what is asked for while the last commit runs, without waiting for more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_GROUP = 200
"""The largest number of requests in one commit."""


class GroupCommit(Generic[T, R]):
    """Hands requests to ``commit``, one group after the other. Used on one loop only."""

    def __init__(self, commit: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]) -> None:
        """``commit`` returns a result for each request, in order; what it raises is raised to all of its group."""
        self._commit = commit
        self._pending: list[tuple[T, asyncio.Future[R]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def add(self, request: T) -> asyncio.Future[R]:
        """Returns what to await for the result of a request: it comes, or is raised, once its group is committed.

        A caller that is cancelled does not take its request back.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._pending.append((request, future))
        if self._flushing is None:
            # In a new context: the caller's would be that of everything which the commit starts.
            self._flushing = loop.create_task(self._flush(), context=Context())
        return future

    async def _flush(self) -> None:
        try:
            while self._pending:
                group, self._pending = self._pending[:MAX_GROUP], self._pending[MAX_GROUP:]
                results = await self._results([request for request, _ in group])
                _resolve([future for _, future in group], results)
        finally:
            self._flushing = None

    async def _results(self, requests: Sequence[T]) -> Sequence[R | Exception]:
        try:
            return await self._commit(requests)
        except Exception as exc:  # noqa: BLE001  # raised to each caller
            return [exc] * len(requests)


def _resolve(futures: Sequence[asyncio.Future[R]], results: Sequence[R | Exception]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
