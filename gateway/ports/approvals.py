"""Held calls of tools, and what people decided about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.approvals import Approval, Decision
from gateway.domain.models import TurnId


class ApprovalStore(Protocol):
    """The stored approvals. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    ``HoldCalls`` adds them. They are deleted with their turn; when its content is erased, their arguments are.
    """

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        """Returns those of a turn in the order of its calls. What nobody decided in time is EXPIRED from now on."""
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

    def open_approvals(self, limit: int = 100) -> Sequence[Approval]:
        """Returns those of unresolved turns that somebody has yet to decide, oldest first."""
        ...
