"""What was said before a turn, as a new thread is to remember it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.models import Exchange, MessageKind, Turn
from gateway.ports.store import Store

HISTORY_TURNS = 200


def turns_before(store: Store, turn: Turn) -> Sequence[Turn]:
    """Returns the newest turns before this one, oldest first. Does I/O; raises StoreUnavailable."""
    return store.transcript(turn.conversation_id, before=turn.seq, limit=HISTORY_TURNS)


def exchanges(turns: Sequence[Turn]) -> Sequence[Exchange]:
    """Returns what the assistant remembers of these turns."""
    return tuple(
        Exchange(each.message.text_with_attachments, each.reply, each.message.author, each.message.speaker)
        for each in _since_reset(turns)
        if each.reply or each.reply_files
    )


def _since_reset(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Returns the prompts since the last reset."""
    resets = [index for index, turn in enumerate(turns) if turn.message.kind is MessageKind.RESET]
    return [turn for turn in turns[resets[-1] if resets else 0 :] if turn.message.kind is MessageKind.PROMPT]
