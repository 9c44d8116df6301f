"""What a text asks for: an answer, or one of the commands that the gateway carries out itself.

Beside the slash commands, which Discord offers nowhere within a message, the same words count as they do in Slack.
"""

from __future__ import annotations

from adapters.base import text_input
from gateway.domain.models import MessageKind

COMMANDS = text_input.BARE_COMMANDS | text_input.HANDOVER_WORDS
"""With a slash or without. "New" needs one: it may answer a question, and a reset cannot be undone."""


def kind_of(text: str, *, addressed: bool) -> MessageKind:
    """Returns what a readable text asks for. One that just goes on in a thread, and does not call the bot, can stop."""
    word = text_input.bare_word(text)
    kind = MessageKind.CHOOSE if text_input.CHOICE.fullmatch(word) else _kind_of(word)
    return kind if addressed or kind is MessageKind.STOP else MessageKind.PROMPT


def may_answer(text: str) -> bool:
    """Tells whether a command may as well answer a question."""
    return text_input.bare_word(text).removeprefix("/") in text_input.ANSWERS


def _kind_of(word: str) -> MessageKind:
    command = word.removeprefix("/")
    is_known = command in COMMANDS or (command != word and command in text_input.RESETS)
    return text_input.kind_of(command) if is_known else MessageKind.PROMPT
