"""What each step makes of a turn. Pure: ``at`` is the database's time."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.messages import Mark, RunId, Step, Turn, TurnState
from gateway.storing import Brought, Finished, Settled
from storage.schema import storable, storable_file

FIRST_LINES: Final = 8
TRAIL_LINES: Final = 40
"""A longer trail loses what is in its middle: how it began and how it stands is kept."""
LINE_CHARS: Final = 300


def along(turn: Turn, mark: Mark, detail: str, at: float) -> tuple[Step, ...]:
    """The trail with one more line."""
    trail = (*turn.trail, Step(at, mark, storable(detail[:LINE_CHARS])))
    return trail if len(trail) <= TRAIL_LINES else trail[:FIRST_LINES] + trail[FIRST_LINES + 1 :]


def marked(turn: Turn, mark: Mark, detail: str, at: float) -> Turn:
    return replace(turn, trail=along(turn, mark, detail, at))


def begun(turn: Turn, owner: str, at: float) -> Turn:
    """Taken up, for the first time or again; a decided turn only waits to be brought, which is no attempt."""
    trail = along(turn, Mark.CLAIMED, owner, at)
    if turn.state.decided:
        return replace(turn, trail=trail)
    started = at if turn.started_at is None else turn.started_at
    return replace(turn, state=TurnState.RUNNING, attempts=turn.attempts + 1, started_at=started, trail=trail)


def running(turn: Turn, run_id: RunId, at: float) -> Turn:
    """Its run has an id; told again, it is no news."""
    if turn.run_id == run_id:
        return turn
    return replace(turn, run_id=run_id, trail=along(turn, Mark.RUN, run_id, at))


def handed_back(turn: Turn, owner: str, at: float, *, fresh: bool) -> Turn:
    """As if it had not been taken up this time; ``fresh``: never at all."""
    trail = along(turn, Mark.HANDED_BACK, owner, at)
    if turn.state is not TurnState.RUNNING:
        return replace(turn, trail=trail)
    attempts = max(turn.attempts - 1, 0)
    if fresh:
        return replace(turn, state=TurnState.QUEUED, attempts=attempts, started_at=None, trail=trail)
    return replace(turn, attempts=attempts, trail=trail)


def settled(turn: Turn, change: Settled, at: float) -> Turn:
    """Answered or failed, unless that was decided already."""
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
    """With what stands at the platform by now."""
    return replace(turn, parts=tuple(map(storable, change.parts)))


def brought(turn: Turn, change: Finished, at: float) -> Turn:
    """Its outcome reached the person, or with a failure could not: then an answered turn has failed after all."""
    answered = turn.state is TurnState.ANSWERED
    if change.failure is None:
        return replace(turn, state=TurnState.DELIVERED if answered else turn.state, delivered_at=at)
    return replace(turn, state=TurnState.FAILED, failure=change.failure) if answered else turn
