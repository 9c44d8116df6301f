"""What a message asks for: an answer, or one of the commands that the gateway carries out itself."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base import text_input
from gateway.domain.models import MessageKind

FOR_THE_BOT_ALONE = (MessageKind.RESET, MessageKind.CHOOSE, MessageKind.HAND_OVER)
"""Commands that may be meant for others unless the bot is addressed, and a reset cannot be undone."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a message asks for, and how far that goes."""

    kind: MessageKind
    opens: bool
    """Whether it may start a conversation."""
    stops_channel: bool = False
    """Whether it stops what its author has running in any conversation of the channel."""
    only_if_running: bool = False
    """Whether it is a command only where there is something to end: the word may answer a question."""


def intent_of(text: str, *, has_files: bool, addressed: bool, in_thread: bool) -> Intent:
    """Returns what a readable text asks for.

    ``addressed``: whether it is said to the bot, by a mention or in a direct message, and not just in its thread.
    """
    kind = MessageKind.PROMPT if has_files else text_input.written_kind(text)
    if kind in FOR_THE_BOT_ALONE and not addressed:
        kind = MessageKind.PROMPT
    if kind is MessageKind.STOP:
        return _stop(text, addressed=addressed, in_thread=in_thread)
    return Intent(kind, addressed, only_if_running=kind is MessageKind.RESUME)


def _stop(text: str, *, addressed: bool, in_thread: bool) -> Intent:
    """Returns a stop. In a thread without the bot there is nothing to stop, and nobody expects an answer to one."""
    may_answer = text_input.may_answer(text)
    opens = addressed and (may_answer or not in_thread)
    return Intent(MessageKind.STOP, opens, stops_channel=not in_thread, only_if_running=may_answer)
