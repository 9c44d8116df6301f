"""A reply while it is generated: its messages, and which text of it was already shown as a preview."""

from __future__ import annotations

from collections.abc import Iterable

MESSAGE_SEPARATOR = "\n\n"
"""Separates two messages of one reply."""


class ReplyAccumulator:
    """Collects the complete messages of a reply, and decides which text to show while it is generated.

    No text is shown twice: when an attempt is repeated, only text beyond the earlier attempt is shown, and none once
    the new text differs. So the shown text is always the beginning of the reply, or the final reply replaces it.
    """

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._shown: list[str] = []
        self._current_message = ""
        self._has_text = False
        self._expected_repeat = ""
        self._diverged = False

    @property
    def text(self) -> str:
        """The text of all complete messages."""
        return MESSAGE_SEPARATOR.join(self._messages)

    @property
    def has_shown_text(self) -> bool:
        """Whether any text was shown."""
        return bool(self._shown)

    def add_delta(self, message_key: str, text: str) -> str:
        """Adds text to the message being generated. Returns the part to show."""
        if not text:
            return ""
        if message_key != self._current_message:
            self._current_message = message_key
            if self._has_text:
                text = MESSAGE_SEPARATOR + text
        self._has_text = True
        return self._show(text)

    def add_message(self, text: str) -> None:
        """Adds a complete message."""
        if text:
            self._messages.append(text)
            self._has_text = True

    def replace_messages(self, texts: Iterable[str]) -> None:
        """Replaces all complete messages."""
        self._messages = [text for text in texts if text]

    def restart(self) -> None:
        """Starts a repeated attempt: the text after the complete messages is generated again from its start."""
        shown = "".join(self._shown)
        self._current_message = ""
        self._has_text = bool(self._messages)
        self._diverged = not shown.startswith(self.text)
        self._expected_repeat = shown[len(self.text) :]

    def stop_showing(self) -> None:
        """Stops showing text because deltas were missed, until the complete messages are known."""
        self._diverged = True

    def take_unshown(self) -> str:
        """Returns the text of the complete messages that was not shown yet."""
        shown, text = "".join(self._shown), self.text
        self._diverged = not text.startswith(shown)
        self._expected_repeat = ""
        if self._diverged or len(shown) == len(text):
            return ""
        self._shown = [text]
        return text[len(shown) :]

    def _show(self, text: str) -> str:
        if self._diverged:
            return ""
        if self._expected_repeat:
            if self._expected_repeat.startswith(text):
                self._expected_repeat = self._expected_repeat[len(text) :]
                return ""
            self._diverged = not text.startswith(self._expected_repeat)
            if self._diverged:
                return ""
            text, self._expected_repeat = text[len(self._expected_repeat) :], ""
        self._shown.append(text)
        return text
