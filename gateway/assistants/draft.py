"""A reply while it is written: its messages, and what of it was shown."""

from __future__ import annotations

from collections.abc import Iterable

GAP = "\n\n"
"""Between two messages of one reply."""


class Draft:
    """Collects whole messages, and lets through what there is to show.

    Nothing is shown twice: where an attempt begins again, it shows only what goes beyond the earlier one, and
    nothing at all once it says something else. All that is shown then still is the beginning of the reply, or
    the reply replaces it.
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
        """All whole messages."""
        return GAP.join(self._messages)

    @property
    def shows(self) -> bool:
        """Whether anything was shown."""
        return bool(self._shown)

    def delta(self, message: str, text: str) -> str:
        """More of a message: what of it to show."""
        if not text:
            return ""
        if message != self._open:
            self._open = message
            if self._begun:
                text = GAP + text
        self._begun = True
        return self._show(text)

    def whole(self, text: str) -> None:
        """A message is complete, and this is what it says."""
        if text:
            self._messages.append(text)
            self._begun = True

    def rewrite(self, texts: Iterable[str]) -> None:
        """These are the whole messages, whatever was known of them before."""
        self._messages = [text for text in texts if text]

    def again(self) -> None:
        """What follows the whole messages is written once more, from its beginning."""
        shown = "".join(self._shown)
        self._open = ""
        self._begun = bool(self._messages)
        self._mute = not shown.startswith(self.text)
        self._repeats = shown[len(self.text) :]

    def mute(self) -> None:
        """Deltas were missed: show no more until the whole is known."""
        self._mute = True

    def rest(self) -> str:
        """What to show of the whole messages that was not shown yet."""
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
