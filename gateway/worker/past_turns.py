"""The turns before a turn, from which the assistant remembers what was said."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.models import Turn
from gateway.ports.store import Store

HISTORY_TURNS = 200


def turns_before(store: Store, turn: Turn) -> Sequence[Turn]:
    """Returns the newest turns before this one, oldest first. Does I/O; raises StoreUnavailable."""
    return store.transcript(turn.conversation_id, before=turn.seq, limit=HISTORY_TURNS)
