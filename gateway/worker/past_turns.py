"""What was said before a turn, as a new thread is to remember it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.models import Exchange, MessageKind, Turn, TurnState
from gateway.ports.store import Store

HISTORY_TURNS = 200


def turns_before(store: Store, turn: Turn) -> Sequence[Turn]:
    """Returns the newest turns before this one, oldest first. Does I/O; raises StoreUnavailable."""
    return store.transcript(turn.conversation_id, before=turn.seq, limit=HISTORY_TURNS)


def exchanges(turns: Sequence[Turn]) -> Sequence[Exchange]:
    """Returns what the assistant remembers of these turns: a pushed text as what it said after the reply before."""
    found: list[Exchange] = []
    for each in _since_reset(turns):
        if each.is_pushed_text:
            _add_pushed_text(found, each)
        elif each.reply or each.reply_files:
            message = each.message
            found.append(Exchange(message.text_with_attachments, each.reply, message.author, message.speaker))
    return tuple(found)


def _add_pushed_text(exchanges: list[Exchange], turn: Turn) -> None:
    """Joins it to the exchange before, as a thread is read that holds two messages of the assistant in a row."""
    if turn.state is not TurnState.DELIVERED or not turn.reply:
        return  # nobody has read it
    last = exchanges.pop() if exchanges else Exchange("", "")
    exchanges.append(replace(last, reply=f"{last.reply}\n\n{turn.reply}" if last.reply else turn.reply))


def _since_reset(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Returns the prompts since the last reset."""
    resets = [index for index, turn in enumerate(turns) if turn.message.kind is MessageKind.RESET]
    return [turn for turn in turns[resets[-1] if resets else 0 :] if turn.message.kind is MessageKind.PROMPT]
