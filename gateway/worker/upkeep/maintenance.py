"""Periodic jobs beside the turns: refresh queue depths, repair clock skew, erase what has expired, settle charges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.retry import repeat_all
from gateway.ports.store import Store
from gateway.worker.upkeep.abandoned_turns import AbandonedTurns

DEPTH_REFRESH_SECONDS = 1.0
CLOCK_REPAIR_SECONDS = 10.0
RETENTION_SECONDS = 600.0
ABANDONED_SECONDS = 30.0
SCHEDULE_SECONDS = 1.0
HANDOVER_SECONDS = 10.0
RETENTION_LOCK = "clear up"
"""The name of the lock by which only one process at a time applies the retention."""

log = logs.get_logger(__name__)


class Maintenance:
    """The periodic jobs of one worker. Used on its loop only."""

    def __init__(
        self,
        store: AsyncStore,
        backpressure: Backpressure,
        retention: Callable[[Callable[[], bool]], object],
        abandoned_turns: AbandonedTurns,
        run_schedules: Callable[[], Awaitable[object]],
        end_handovers: Callable[[], Awaitable[object]],
        *,
        owner: str,
    ) -> None:
        """``retention``: called in a database thread, by one process at a time, with a function that returns whether it
        may continue. ``run_schedules``: makes turns of the schedules that are due. ``end_handovers``: gives back the
        conversations in which no person has answered for too long.
        """
        self._store = store
        self._backpressure = backpressure
        self._retention = retention
        self._abandoned_turns = abandoned_turns
        self._run_schedules = run_schedules
        self._end_handovers = end_handovers
        self._owner = owner
        self._stopped = False

    async def run(self) -> None:
        """Runs the jobs until it is cancelled."""
        try:
            await repeat_all(
                (
                    (self._refresh_backpressure, DEPTH_REFRESH_SECONDS, "queue depths not read"),
                    (self._repair_clock_skew, CLOCK_REPAIR_SECONDS, "clock skew not repaired"),
                    (self._apply_retention, RETENTION_SECONDS, "retention not applied"),
                    (self._abandoned_turns.settle, ABANDONED_SECONDS, "abandoned turns not charged"),
                    (self._run_schedules, SCHEDULE_SECONDS, "schedules not looked at"),
                    (self._end_handovers, HANDOVER_SECONDS, "handovers not looked at"),
                )
            )
        finally:
            self._stopped = True

    async def _refresh_backpressure(self) -> None:
        self._backpressure.refresh(await self._store.call(lambda store: store.queue_depths()))

    async def _repair_clock_skew(self) -> None:
        repaired = await self._store.call(lambda store: store.repair_clock_skew())
        if repaired:
            log.warning("the database's clock was set back; conversations made claimable again", conversations=repaired)

    async def _apply_retention(self) -> None:
        def erase_expired(store: Store) -> None:
            def may_continue() -> bool:
                # The lock is held beyond the end of the work, so that no other process does it again at once.
                return not self._stopped and store.try_lock(RETENTION_LOCK, self._owner, RETENTION_SECONDS / 2)

            if may_continue():
                self._retention(may_continue)

        await self._store.call(erase_expired)
