"""What happened to a turn, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain.approvals import Approval, Decision
from gateway.domain.audit import AuditEvent
from gateway.domain.models import Turn, TurnState

OUTCOME_LABELS = {TurnState.FAILED: "failed", TurnState.CANCELLED: "cancelled"}


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    at: float
    what: str
    detail: str = ""
    after: float = 0.0
    """Seconds since the previous entry."""


def timeline(turn: Turn, approvals: Sequence[Approval] = ()) -> Sequence[TimelineEntry]:
    """Returns what happened to a turn, oldest first. ``approvals``: of its calls of tools."""
    asked = [entry for each in approvals for entry in _approval_entries(each)]
    entries = sorted([*_timeline_entries(turn), *asked], key=lambda entry: entry.at)
    before = (entries[0], *entries)
    return [TimelineEntry(each.at, each.what, each.detail, each.at - last.at) for each, last in zip(entries, before)]  # noqa: B905  # ``before`` is longer by one


def _timeline_entries(turn: Turn) -> Iterator[TimelineEntry]:
    logged = {entry.event for entry in turn.audit_log}
    if AuditEvent.RECEIVED not in logged:
        yield TimelineEntry(turn.received_at, "received")
    if turn.started_at is not None and AuditEvent.CLAIMED not in logged:
        yield TimelineEntry(turn.started_at, "started")
    for entry in turn.audit_log:
        yield TimelineEntry(entry.at, entry.event.value, entry.detail)
    if turn.answered_at is not None:
        yield TimelineEntry(
            turn.answered_at, OUTCOME_LABELS.get(turn.state, "answered"), turn.failure.code if turn.failure else ""
        )
    if turn.delivered_at is not None:
        yield TimelineEntry(
            turn.delivered_at, "delivered as" if turn.posted_messages else "delivered", ", ".join(turn.posted_messages)
        )


def _approval_entries(approval: Approval) -> Iterator[TimelineEntry]:
    if approval.is_question:
        yield TimelineEntry(approval.requested_at, "approval asked", approval.tool)
    if approval.decision and approval.decided_at is not None:
        by = approval.decided_name or approval.decided_by
        if by:
            yield TimelineEntry(approval.decided_at, f"{approval.decision} by", f"{by}: {approval.tool}")
        else:
            gone = approval.decision in {Decision.EXPIRED, Decision.CANCELLED}
            what = f"approval {approval.decision}" if gone else str(approval.decision)
            yield TimelineEntry(approval.decided_at, what, approval.tool)
    if approval.started_at is not None:
        yield TimelineEntry(approval.started_at, "tool begun", approval.tool)
