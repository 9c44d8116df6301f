"""Shows a reply that is streamed again, after a retry, without what was shown of it before."""

from __future__ import annotations

from collections.abc import Callable

from gateway.domain.run_events import PreviewEvent, TextDelta


class PreviewDeduplicator:
    """Forwards preview events; when a reply is streamed again, forwards only the text beyond what was shown before."""

    def __init__(self, show: Callable[[PreviewEvent], None]) -> None:
        self._emit = show
        self._parts: list[str] = []
        self._already_shown = ""
        self.has_shown = False
        """Whether anything was shown: text, or that a tool is used."""

    def restart(self) -> None:
        """Called before a retry: the reply is streamed again from its start."""
        text = "".join(self._parts)
        if len(text) > len(self._already_shown):
            self._already_shown = text
        self._parts = []

    def emit(self, event: PreviewEvent) -> None:
        self.has_shown = True
        if isinstance(event, TextDelta):
            self._parts.append(event.text)
            if self._already_shown:
                event = TextDelta(self._new_text(), event.is_refusal)
                if not event.text:
                    return
        self._emit(event)

    @property
    def shown(self) -> str:
        """All text that was shown so far."""
        text = "".join(self._parts)
        return text if text.startswith(self._already_shown) else self._already_shown

    def _new_text(self) -> str:
        """Returns the text beyond what was shown; empty while there is none, or when the reply differs this time."""
        text = "".join(self._parts)
        if len(text) <= len(self._already_shown) or not text.startswith(self._already_shown):
            return ""
        new_text, self._already_shown = text[len(self._already_shown) :], text
        return new_text
