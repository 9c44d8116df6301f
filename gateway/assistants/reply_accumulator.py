"""A reply while it is generated: its messages, and which text of it was already shown as a preview."""

from __future__ import annotations

from collections.abc import Iterable

GAP = "\n\n"
"""Separates two messages of one reply."""


class Draft:
    """Collects the complete messages of a reply, and decides which text to show while it is generated.

    No text is shown twice: when an attempt is repeated, only text beyond the earlier attempt is shown, and none once
    the new text differs. So the shown text is always the beginning of the reply, or the final reply replaces it.
    """

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._shown: list[str] = []
        self._open = ""
        self._begun = False
        self._repeats = ""
        self._mute = False

    @property
    def text(self) -> str:
        """The text of all complete messages."""
        return GAP.join(self._messages)

    @property
    def shows(self) -> bool:
        """Whether any text was shown."""
        return bool(self._shown)

    def delta(self, message: str, text: str) -> str:
        """Adds text to the message being generated. Returns the part to show."""
        if not text:
            return ""
        if message != self._open:
            self._open = message
            if self._begun:
                text = GAP + text
        self._begun = True
        return self._show(text)

    def whole(self, text: str) -> None:
        """Adds a complete message."""
        if text:
            self._messages.append(text)
            self._begun = True

    def rewrite(self, texts: Iterable[str]) -> None:
        """Replaces all complete messages."""
        self._messages = [text for text in texts if text]

    def again(self) -> None:
        """Starts a repeated attempt: the text after the complete messages is generated again from its start."""
        shown = "".join(self._shown)
        self._open = ""
        self._begun = bool(self._messages)
        self._mute = not shown.startswith(self.text)
        self._repeats = shown[len(self.text) :]

    def mute(self) -> None:
        """Stops showing text because deltas were missed, until the complete messages are known."""
        self._mute = True

    def rest(self) -> str:
        """Returns the text of the complete messages that was not shown yet."""
        shown = "".join(self._shown)
        self._mute = not self.text.startswith(shown)
        self._repeats = ""
        if self._mute or len(shown) == len(self.text):
            return ""
        self._shown = [self.text]
        return self.text[len(shown) :]

    def _show(self, text: str) -> str:
        if self._mute:
            return ""
        if self._repeats:
            if self._repeats.startswith(text):
                self._repeats = self._repeats[len(text) :]
                return ""
            self._mute = not text.startswith(self._repeats)
            if self._mute:
                return ""
            text, self._repeats = text[len(self._repeats) :], ""
        self._shown.append(text)
        return text
