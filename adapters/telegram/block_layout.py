"""Puts blocks below each other: on lines of their own, behind the marks of the lists and quotations around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from telegram import MessageEntity

from adapters.telegram.growing_text import GrowingText

INDENT = "    "
INNER_QUOTE = "> "


@dataclass(slots=True)
class Container:
    """A list item, or a quotation in a quotation: the prefix of its lines."""

    first: str
    rest: str
    line: int = 0
    """Of the source, on which it begins."""
    begun: bool = False

    def prefix(self) -> str:
        prefix, self.begun = self.rest if self.begun else self.first, True
        return prefix


@dataclass(slots=True)
class Quotation:
    """One that Telegram shows as such, and what it stands in."""

    start: int
    line: int
    around: list[Container]


@dataclass(slots=True)
class BlockLayout:
    """Knows up to where the source is written, and what the next line begins with."""

    text: GrowingText
    line: int = -1
    """Of the source, up to which everything is written; -1: nothing yet, in this quotation."""
    containers: list[Container] = field(default_factory=list)
    quotes: list[Quotation | None] = field(default_factory=list)
    """None: a quotation in another one, which Telegram does not support."""

    def begin(self, lines: Sequence[int] | None, *, alone: bool = False) -> None:
        """Begins a block on a new line, after a blank line if the source has one.

        ``lines``: of the source, from and to. ``alone``: no prefix may precede the block on its line.
        """
        start, end = lines or (self.line, self.line)
        if self.line >= 0:
            self.text.write("\n\n" if start > self.line else "\n")
        self.text.block, self.line = start, end
        if not alone:
            self._write_prefixes()
        elif any(not container.begun for container in self.containers):
            self._write_prefixes()
            self.text.write("\n")

    def new_line(self) -> None:
        """Goes on with the block on the next line."""
        self.text.write("\n")
        self._write_prefixes()

    def _write_prefixes(self) -> None:
        self.text.write("".join(container.prefix() for container in self.containers))

    def open_item(self, mark: str, line: int) -> None:
        """``mark``: with which the first line of the item begins. ``line``: of the source."""
        self.containers.append(Container(mark, INDENT, line))

    def close_item(self) -> None:
        """Writes at least the mark of an item in which there was nothing."""
        item = self.containers[-1]
        if not item.begun:
            self.begin((item.line, item.line + 1))
        self.containers.pop()

    def open_quote(self, lines: Sequence[int] | None) -> None:
        if self.quotes:
            self.quotes.append(None)
            self.containers.append(Container(INNER_QUOTE, INNER_QUOTE))
            return
        self.begin(lines, alone=True)
        self.quotes.append(Quotation(self.text.at, self.line, self.containers))
        self.containers, self.line = [], -1

    def close_quote(self) -> None:
        quote = self.quotes.pop()
        if quote is None:
            self.containers.pop()
            return
        self.text.mark(MessageEntity.BLOCKQUOTE, quote.start)
        self.containers = quote.around
        self.line = max(self.line, quote.line)
