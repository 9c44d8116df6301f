"""Answers that end at a limit of the assistant: what there is of them is shown, with a line that says so."""

from __future__ import annotations

from gateway.domain.errors import AssistantRefused
from gateway.domain.sentences import sentence
from gateway.domain.visible_text import with_note
from gateway.languages import say

CUT_OFF_NOTE = sentence("_The answer was cut off here, at the assistant's limit. Write “go on” to get the rest._")
NO_ROOM = sentence(
    "The assistant had no room left for an answer. Please ask for less at once, or start a new conversation."
)


def with_cut_off_note(text: str, language: str) -> str:
    """Returns what there is of an answer, with a line that says so and how to go on."""
    return with_note(text, say(CUT_OFF_NOTE, language))


def cut_off_before_text(limit: str = "") -> AssistantRefused:
    """Returns the error for an answer that ended at a limit before it had any text, as by long reasoning.

    ``limit``: as RunCompleted has it; it is the error's code.
    """
    code = limit or "incomplete"
    return AssistantRefused("the answer was cut off before any text", code=code, user_message=NO_ROOM)
