"""Cuts a reply that is longer than a setting allows, and refuses an empty one, whichever backend it comes from."""

from __future__ import annotations

from gateway.domain.errors import AssistantRefused
from gateway.domain.models import Turn
from gateway.domain.run_events import RunCompleted
from gateway.domain.sentences import Sentence, counted, sentence
from gateway.domain.visible_text import is_visible, with_note
from gateway.languages import say

EMPTY = sentence("The assistant gave an empty answer. Please try again.")


class ReplyLimit:
    """Counts the text of one run as it is generated."""

    def __init__(self, max_chars: int, language: str = "") -> None:
        """``language``: of the line that says where a reply was cut."""
        self._max_chars = max_chars
        self._left = max_chars
        self._language = language
        self._texts: list[str] = []

    def add(self, text: str) -> bool:
        """Adds text that was shown. Returns whether the reply is longer than it may be."""
        self._texts.append(text[: self._left])
        self._left -= len(text)
        return self._left < 0

    @property
    def text(self) -> str:
        """What was shown, up to the limit, with a line that says where it was cut."""
        return self._cut("".join(self._texts))

    def fitted(self, reply: str) -> str:
        """Returns a complete reply, cut if it is too long."""
        return reply if len(reply) <= self._max_chars else self._cut(reply[: self._max_chars])

    def _cut(self, text: str) -> str:
        return with_note(text, say(cut_note(self._max_chars), self._language))


def cut_note(max_chars: int) -> Sentence:
    """Returns the line below a reply that was cut behind so many characters."""
    return counted(
        "_The answer was longer than {count} character and was cut off here._",
        "_The answer was longer than {count} characters and was cut off here._",
        max_chars,
    )


def require_content(answer: RunCompleted, turn: Turn) -> RunCompleted:
    """Returns the answer. Raises AssistantRefused when it is empty, unless a program is told so as it is.

    Of a run that waits for its outputs no message could be shown.
    """
    is_told = turn.options.is_program and not turn.options.waits_for_outputs
    if is_told or is_visible(answer.text) or answer.files or answer.calls:
        return answer
    raise AssistantRefused("the reply is empty", code="empty_answer", user_message=EMPTY)
