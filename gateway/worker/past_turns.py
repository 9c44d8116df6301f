"""The turns before a turn, from which the assistant remembers what was said."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.approvals import asked_by
from gateway.domain.exchange import Exchange
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Message, Turn
from gateway.domain.past import exchanges_of
from gateway.ports.store import Store

HISTORY_TURNS = 200


def turns_before(store: Store, turn: Turn) -> Sequence[Turn]:
    """Returns the newest turns before this one, oldest first. Does I/O; raises StoreUnavailable."""
    return store.transcript(turn.conversation_id, before=turn.seq, limit=HISTORY_TURNS)


def asked_message(store: Store, turn: Turn) -> Message:
    """Returns ``asked_by`` of a turn. Does I/O only where the staff gave its conversation back."""
    return asked_by(turn, turns_before(store, turn) if turn.handover is HandoverPart.RESUMED else ())


def past_of(turn: Turn, before: Sequence[Turn]) -> Sequence[Exchange]:
    """Returns what the assistant knows of the past when it gets a turn: the caller's history, or the turns before."""
    own = turn.options.past
    return (*(own if own is not None else exchanges_of(before)), *turn.options.inserted)
