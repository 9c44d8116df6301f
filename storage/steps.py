"""What each step makes of a turn. Pure: ``at`` is the database's time."""

from __future__ import annotations

from dataclasses import replace

from gateway.messages import Turn, TurnState
from gateway.storing import Brought, Finished, Settled
from storage.schema import storable, storable_file


def begun(turn: Turn, at: float) -> Turn:
    """Taken up, for the first time or again; a decided turn only waits to be brought, which is no attempt."""
    if turn.state.decided:
        return turn
    started = at if turn.started_at is None else turn.started_at
    return replace(turn, state=TurnState.RUNNING, attempts=turn.attempts + 1, started_at=started)


def handed_back(turn: Turn, *, fresh: bool) -> Turn:
    """As if it had not been taken up this time; ``fresh``: never at all."""
    if turn.state is not TurnState.RUNNING:
        return turn
    attempts = max(turn.attempts - 1, 0)
    if fresh:
        return replace(turn, state=TurnState.QUEUED, attempts=attempts, started_at=None)
    return replace(turn, attempts=attempts)


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
