"""A text with entities, to which more is written at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from telegram import MessageEntity

from adapters.base.markdown.splitting import utf16_units


@dataclass(frozen=True, slots=True)
class FormattedText:
    """The content of one message."""

    text: str
    entities: tuple[MessageEntity, ...]
    markdown: str
    """The source."""
    buttons: tuple[tuple[str, str], ...] = ()
    """What is written on those below it, and what a press of them says."""


@dataclass(slots=True)
class GrowingText:
    """What is written so far. All offsets are in UTF-16 code units."""

    at: int = 0
    """The length so far."""
    block: int = 0
    """The line of the source where the current block begins."""
    lines: list[int] = field(default_factory=list)
    """For each entity, the line of the source where its block begins."""
    _pieces: list[str] = field(default_factory=list)
    _entities: list[MessageEntity] = field(default_factory=list)

    def write(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self.at += utf16_units(text)

    def mark(self, kind: str, start: int, *, url: str | None = None, language: str | None = None) -> None:
        """Makes what is written from ``start`` on an entity, if there is anything."""
        if self.at > start:
            self.lines.append(self.block)
            self._entities.append(MessageEntity(kind, start, self.at - start, url=url, language=language))

    @property
    def pieces(self) -> int:
        """How many texts are written."""
        return len(self._pieces)

    def since(self, pieces: int) -> str:
        """Returns what is written after so many texts."""
        return "".join(self._pieces[pieces:])

    def result(self, markdown: str) -> FormattedText:
        """``markdown``: the source."""
        entities = sorted(self._entities, key=lambda entity: (entity.offset, -entity.length))
        return FormattedText("".join(self._pieces), tuple(entities), markdown)
