"""Tells the other processes on the same database how busy this one is."""

from __future__ import annotations

import time

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.peers import MAX_AGE_SECONDS, SLACK
from gateway.ports.cluster import WorkerLoad

HEARTBEAT_SECONDS = MAX_AGE_SECONDS / 3
"""Seconds between announcements while nothing changes."""


class LoadAnnouncer:
    """Used on the worker's loop only."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self._announced: WorkerLoad | None = None
        self._announced_at = 0.0

    async def announce(self, load: WorkerLoad) -> None:
        """Announces a load that differs from the last one, and any from time to time. Raises StoreUnavailable."""
        now = time.monotonic()
        if not self._is_known(load) or now - self._announced_at >= HEARTBEAT_SECONDS:
            self._announced, self._announced_at = load, now
            await self._store.call(lambda store: store.announce(load))

    def _is_known(self, load: WorkerLoad) -> bool:
        """Returns whether the others know a load as well as they need to."""
        known = self._announced
        if known is None or known.has_capacity != load.has_capacity:
            return False
        return abs(load.in_progress - known.in_progress) < SLACK // 2
