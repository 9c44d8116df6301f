"""Checks that a lease is still held before anything is done that cannot be undone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, overload

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.futures import until_done
from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim, Lease
from gateway.domain.copies import changed
from gateway.domain.errors import LeaseLost
from gateway.domain.models import Turn
from gateway.ports.leased_writes import AppendAuditEntry, FinishTurn, LeasedWrite, TurnWrite, WriteResult

CURRENT_LEASE: ContextVar[LeaseGuard | None] = ContextVar("current lease", default=None)
"""The lease on the conversation that the current task works on."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time that the machine sleeps, where such a clock exists."""
SAFETY_MARGIN = 0.1
"""The fraction of a lease that is left for a request sent within it to arrive."""
lease_clock: Callable[[], float] = partial(time.clock_gettime, CLOCK)
"""Returns seconds of a monotonic clock, for the times of leases."""


class LeaseGuard:
    """One process's lease on a conversation, from turn to turn. Used on the worker's loop only.

    A process may be suspended for any time and then continue: frozen, swapped out, a laptop that slept. Its database
    writes are fenced by the lease's epoch; its calls to platforms and assistants are not, so they are guarded by this.
    """

    def __init__(self, store: AsyncStore, claim: Claim, *, lease_seconds: float, requested_at: float) -> None:
        """``lease_seconds``: how long a lease lasts; ``requested_at``: ``lease_clock()`` before the claim call."""
        self.claim = claim
        self.is_lost = False
        self.claimed_at = requested_at
        self._store = store
        self._lease_seconds = lease_seconds * (1 - SAFETY_MARGIN)
        self._valid_until = requested_at + self._lease_seconds
        self._writing: asyncio.Future[WriteResult] | None = None

    @overload
    async def write(self, make: Callable[[Lease, Turn], TurnWrite]) -> Turn: ...

    @overload
    async def write(self, make: Callable[[Lease, Turn], FinishTurn]) -> Claim | None: ...

    @overload
    async def write(self, make: Callable[[Lease, Turn], LeasedWrite]) -> WriteResult: ...

    async def write(self, make: Callable[[Lease, Turn], LeasedWrite]) -> Any:
        """Commits the write that ``make`` returns for the lease and the turn; returns its result. Raises LeaseLost.

        One at a time: each one has the turn that the one before resulted in. So ``claim.turn`` is the turn as it is
        stored, unless another process changed it; the next write then learns it.
        """
        while self._writing is not None:
            await until_done(self._writing)
        self._writing = self._store.write(make(self.claim.lease, self.claim.turn))
        try:
            result = await self._writing
        finally:
            self._writing = None
        if isinstance(result, Turn) and result.id == self.claim.turn.id:
            self.claim = changed(self.claim, turn=result)
        return result

    def mark_renewed(self, requested_at: float) -> None:
        """Extends the lease after a renewal that was requested at ``requested_at``."""
        self._valid_until = max(self._valid_until, requested_at + self._lease_seconds)

    async def assert_held(self) -> None:
        """Returns when no other process can have taken over. Raises LeaseLost.

        Asks the database only when the lease may have expired, and then waits until it is available.
        """
        if self.is_lost:
            raise LeaseLost
        if lease_clock() >= self._valid_until:
            await self._renew_or_raise()

    async def _renew_or_raise(self) -> None:
        lease, since = self.claim.lease, lease_clock()
        renewal = await self._store.call_with_retry(
            lambda store: store.renew_leases(lease.owner, (lease.conversation_id,))
        )
        if lease.conversation_id not in renewal.held_conversations:
            self.is_lost = True
            raise LeaseLost
        # The renewal compares only the owner. This write is fenced, so it also fails if the same process claimed again.
        await self.write(partial(AppendAuditEntry, event=AuditEvent.RESUMED_AFTER_PAUSE, detail=lease.owner))
        self.mark_renewed(since)


async def assert_current_lease_held() -> None:
    """Calls ``LeaseGuard.assert_held`` for the current task's conversation, before a request that cannot be undone.

    Returns at once when the task works on no conversation. Raises LeaseLost.
    """
    guard = CURRENT_LEASE.get()
    if guard is not None:
        await guard.assert_held()
