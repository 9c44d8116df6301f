"""Held calls of tools, and what people decided about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.approvals import Approval, Decider, Decision
from gateway.domain.models import TurnId


class ApprovalStore(Protocol):
    """The stored approvals. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    ``HoldCalls`` adds them. What nobody decided in time is read as EXPIRED. They are deleted with their turn; when its
    content is erased, their arguments are.
    """

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        """Returns those of a turn in the order of its calls."""
        ...

    def get_approval(self, approval_id: str) -> Approval | None: ...

    def decide(self, approval_id: str, decision: Decision, by: str, name: str = "") -> Approval | None:
        """Stores what somebody decided, and wakes the turn when there is nothing left to decide.

        Whether they may, the caller has checked. Returns the approval if it was this call that decided it; None, and
        nothing changes, if it was decided before, is expired, is no question, or if its turn is resolved.
        """
        ...

    def close_approvals(self, turn_id: TurnId) -> Sequence[Approval]:
        """Makes what nobody decided about a resolved turn CANCELLED; returns all that is so, also from before."""
        ...

    def open_approvals(
        self, limit: int = 100, *, platform: str = "", decider: Decider | None = None
    ) -> Sequence[Approval]:
        """Returns the oldest of unresolved turns that somebody has yet to decide, and still can.

        ``platform``: only those of turns of this bot. ``decider``: only those that ``may_decide`` says they may.
        """
        ...
