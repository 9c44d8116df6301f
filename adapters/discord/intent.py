"""What a text asks for: an answer, or one of the commands that the gateway carries out itself.

Beside the slash commands, which Discord offers nowhere within a message, the same words count as they do in Slack.
"""

from __future__ import annotations

from adapters.base.text_input import RESETS, bare_word, written_kind
from gateway.domain.models import MessageKind


def kind_of(text: str, *, addressed: bool) -> MessageKind:
    """Returns what a readable text asks for. One that just goes on in a thread, and does not call the bot, can stop."""
    word = bare_word(text)
    # With its slash, "new" is a reset here, too.
    kind = MessageKind.RESET if word.startswith("/") and word[1:] in RESETS else written_kind(text)
    return kind if addressed or kind is MessageKind.STOP else MessageKind.PROMPT
