"""The state transitions of a turn, as pure functions. ``at`` is the database's time."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.domain.models import Mark, RunId, Step, Turn, TurnState
from gateway.ports.store import Brought, Finished, Settled
from storage.schema import storable, storable_file

FIRST_LINES: Final = 8
TRAIL_LINES: Final = 40
"""A longer audit log loses entries from its middle: the first and the newest ones are kept."""
LINE_CHARS: Final = 300


def along(turn: Turn, mark: Mark, detail: str, at: float) -> tuple[Step, ...]:
    """Returns the audit log with one more entry."""
    entries = (*turn.trail, Step(at, mark, storable(detail[:LINE_CHARS])))
    return entries if len(entries) <= TRAIL_LINES else entries[:FIRST_LINES] + entries[FIRST_LINES + 1 :]


def marked(turn: Turn, mark: Mark, detail: str, at: float) -> Turn:
    return replace(turn, trail=along(turn, mark, detail, at))


def begun(turn: Turn, owner: str, at: float) -> Turn:
    """Claimed, for the first time or again. A resolved turn only needs delivery, which is not counted as an attempt."""
    audit_log = along(turn, Mark.CLAIMED, owner, at)
    if turn.state.decided:
        return replace(turn, trail=audit_log)
    started = at if turn.started_at is None else turn.started_at
    return replace(turn, state=TurnState.RUNNING, attempts=turn.attempts + 1, started_at=started, trail=audit_log)


def running(turn: Turn, run_id: RunId, at: float) -> Turn:
    """With its run id; the same id again changes nothing."""
    if turn.run_id == run_id:
        return turn
    return replace(turn, run_id=run_id, trail=along(turn, Mark.RUN, run_id, at))


def handed_back(turn: Turn, owner: str, at: float, *, fresh: bool) -> Turn:
    """With this claim undone; ``not_started``: queued again, as if it had never been claimed."""
    audit_log = along(turn, Mark.HANDED_BACK, owner, at)
    if turn.state is not TurnState.RUNNING:
        return replace(turn, trail=audit_log)
    attempts = max(turn.attempts - 1, 0)
    if fresh:
        return replace(turn, state=TurnState.QUEUED, attempts=attempts, started_at=None, trail=audit_log)
    return replace(turn, attempts=attempts, trail=audit_log)


def settled(turn: Turn, change: Settled, at: float) -> Turn:
    """Answered or failed, unless it was resolved before."""
    if turn.state is not TurnState.RUNNING:
        return turn
    return replace(
        turn,
        state=TurnState.FAILED if change.failure else TurnState.ANSWERED,
        reply=storable(change.reply),
        files=tuple(map(storable_file, change.files)),
        usage=change.usage,
        model=storable(change.model),
        cost=change.cost,
        failure=change.failure,
        answered_at=at,
    )


def shown(turn: Turn, change: Brought) -> Turn:
    """With what is posted at the platform now."""
    return replace(turn, parts=tuple(map(storable, change.parts)))


def brought(turn: Turn, change: Finished, at: float) -> Turn:
    """Delivered; with a failure, the delivery failed, which turns an answered turn into a failed one."""
    answered = turn.state is TurnState.ANSWERED
    if change.failure is None:
        return replace(turn, state=TurnState.DELIVERED if answered else turn.state, delivered_at=at)
    return replace(turn, state=TurnState.FAILED, failure=change.failure) if answered else turn
