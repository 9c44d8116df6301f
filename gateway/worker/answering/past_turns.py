"""The turns before a turn, from which the assistant remembers what was said."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.approvals import asked_by
from gateway.domain.exchange import Exchange
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Message, Turn
from gateway.domain.past import ends_unanswered, exchanges_of, unanswered, with_inserted
from gateway.ports.store import Store

HISTORY_TURNS = 200


def turns_before(store: Store, turn: Turn) -> Sequence[Turn]:
    """Returns the newest turns before this one, oldest first. Does I/O; raises StoreUnavailable."""
    return store.transcript(turn.conversation_id, before=turn.seq, limit=HISTORY_TURNS)


def left_unanswered(store: Store, turn: Turn, since: int | None = None) -> Sequence[Turn]:
    """Returns all turns before this one that were left to a person who has not answered them yet, oldest first.

    ``since``: the seq of the turn that handed the conversation over, before which few or none can be. Does I/O; raises
    StoreUnavailable.
    """
    oldest = turn.seq if since is None else since
    turns = list(turns_before(store, turn))
    page: Sequence[Turn] = turns
    while page and not ends_unanswered(page) and (page[0].seq > oldest or any(each.is_held for each in page)):
        page = turns_before(store, page[0])
        turns = [*page, *turns]
    return unanswered(turns)


def exchanges_before(store: Store, turn: Turn) -> Sequence[Exchange]:
    """Returns what the assistant remembers of those turns. Does I/O; raises StoreUnavailable."""
    return exchanges_of(store.past_turns(turn, HISTORY_TURNS))


def asked_message(store: Store, turn: Turn) -> Message:
    """Returns ``asked_by`` of a turn. Does I/O only where the staff gave its conversation back."""
    return asked_by(turn, turns_before(store, turn) if turn.handover is HandoverPart.RESUMED else ())


def past_of(turn: Turn, before: Sequence[Exchange]) -> Sequence[Exchange]:
    """Returns what the assistant knows of the past when it gets a turn: the caller's history, or what was before."""
    own = turn.options.past
    return with_inserted(own if own is not None else before, turn.options.inserted)
