"""A conversation that a process works on: its lease, its current turn, and what runs for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.coordination.lease import LeaseGuard
from gateway.domain.approvals import Approval
from gateway.domain.conversations import Claim
from gateway.domain.copies import changed
from gateway.domain.errors import LeaseLost
from gateway.domain.models import TurnId
from gateway.domain.shares import NOBODY, Share
from gateway.policy.admission import Grant
from gateway.ports.leased_writes import ParkTurn, RecordOutcome
from gateway.worker.answering.turn_attempt import TurnAttempt
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext


@dataclass(slots=True)
class ConversationTask:
    """A conversation that this process works on."""

    lease_guard: LeaseGuard
    platform: str
    over_capacity: bool
    """Whether the process has no capacity for it or is draining: its lease is released without starting the turn."""
    share: Share = NOBODY
    """Whose share of the places it takes."""
    task: asyncio.Task[None] | None = None
    attempt: TurnAttempt | None = None
    outcome_task: asyncio.Task[RecordOutcome | ParkTurn] | None = None
    budget_grant: Grant | None = None
    """Reserves what the turn may cost until its outcome is stored."""
    delivery_context: WorkerDeliveryContext | None = None
    interrupted_turn: TurnId | None = None
    leaves_run: bool = False
    """Whether a run waits at the backend while the turn is parked, and is to be stopped."""
    held: Sequence[Approval] = ()
    """The calls that the turn waits for, or waited for, as they were when it was claimed."""
    is_finishing: bool = False
    """Whether the last write is in progress; it may have released the lease already."""

    @property
    def claim(self) -> Claim:
        return self.lease_guard.claim

    def interrupt(self, turn: TurnId) -> None:
        """Interrupts the turn, if it is the current one."""
        if self.claim.turn.id == turn:
            self.interrupted_turn = turn
            if self.outcome_task is not None:
                self.outcome_task.cancel()

    def adopt_lease(self, claim: Claim, since: float) -> bool:
        """Continues with the next lease on the same turn; returns False when that is not possible.

        Needed when the machine slept for longer than a lease lasts, or the database's clock was set forward. If there
        was a lease in between, somebody else has worked on the turn, and what this task knows of it is out of date.
        """
        if self.lease_guard.is_lost or self.over_capacity or self.is_finishing or claim.turn.id != self.claim.turn.id:
            return False
        if claim.lease.epoch != self.claim.lease.epoch + 1:
            return False
        self.lease_guard.claim = changed(self.claim, lease=claim.lease, turn=claim.turn)
        self.lease_guard.mark_renewed(since)
        return True

    def begin_next(self, claim: Claim, since: float) -> None:
        """Continues with the next turn, which was claimed with the end of this one. Raises LeaseLost."""
        if self.lease_guard.is_lost:  # another process took it before we received the claim
            raise LeaseLost
        self.lease_guard.claim, self.attempt, self.budget_grant = claim, None, None
        self.lease_guard.mark_renewed(since)

    def abandon(self) -> None:
        """Stops work on the conversation, as its lease is lost. A last write in progress is completed."""
        self.lease_guard.is_lost = True
        if self.task is not None and not self.is_finishing:
            self.task.cancel()
