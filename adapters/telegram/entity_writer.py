"""Converts Markdown to a text with entities, which mark what is bold, a link, and so on.

The kinds of entities: core.telegram.org/bots/api#messageentity. No word is lost: what Telegram cannot show is kept as
it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token
from telegram import MessageEntity

from adapters.base.links import beside
from adapters.base.markdown import utf16_units
from adapters.base.reading import NUMBER
from adapters.telegram.links import is_link
from adapters.telegram.markdown_tokens import BOX, parse, plain_text
from adapters.telegram.table_renderer import render_table

INDENT = "    "
BULLETS = ("• ", "◦ ", "▪ ")
RULE = "———"
TAB = 4

STYLES = {"strong": MessageEntity.BOLD, "em": MessageEntity.ITALIC, "s": MessageEntity.STRIKETHROUGH}
LANGUAGE = re.compile(r"([A-Za-z0-9_+#.-]{1,32})(?:\s*+(?:\{.*|[\w-]+=.*))?", re.DOTALL)
"""The info string of a fence: a language, and options for renderers. Any other is shown to the reader."""
MENTION = re.compile(r"(?:://|\w\.\w)[^\s@]{0,200}/\S*|(?<!\w)@(?P<name>[A-Za-z][A-Za-z0-9_]{3,31})(?!\w)")
"""An address, or what Telegram takes for somebody's name: github.com/tdlib/td, MessageEntity.cpp, match_mentions."""


@dataclass(frozen=True, slots=True)
class FormattedText:
    """The content of one message."""

    text: str
    entities: tuple[MessageEntity, ...]
    markdown: str
    """The source."""
    buttons: tuple[tuple[str, str], ...] = ()
    """What is written on those below it, and what a press of them says."""


def render(markdown: str) -> FormattedText:
    """Returns one text, however long it becomes."""
    return rendered(markdown)[0]


def rendered(markdown: str) -> tuple[FormattedText, list[int]]:
    """Returns one text, and for each of its entities, in the order of the source, the line where its block begins."""
    tokens = parse(markdown)
    if tokens is None:
        return FormattedText(markdown, (), markdown), []
    writer = _EntityWriter()
    for token in tokens:
        writer.take(token)
    return writer.result(markdown), writer.lines


@dataclass(slots=True)
class _Container:
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
class _Quote:
    start: int
    line: int
    around: list[_Container]


@dataclass(slots=True)
class _Link:
    address: str
    title: str
    start: int
    piece: int


@dataclass(slots=True)
class _Style:
    start: int
    depth: int = 1


@dataclass(slots=True)
class _EntityWriter:
    """Writes one token after another."""

    pieces: list[str] = field(default_factory=list)
    entities: list[MessageEntity] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """For each entity, the line of the source where its block begins."""
    block: int = 0
    """The line where the current block begins."""
    at: int = 0
    """The length so far, in UTF-16 code units, as all offsets."""
    line: int = -1
    """Of the source, up to which everything is written; -1: nothing yet, in this quotation."""
    containers: list[_Container] = field(default_factory=list)
    lists: int = 0
    """How many lists are open."""
    quotes: list[_Quote | None] = field(default_factory=list)
    """None: a quotation in another one, which Telegram does not support."""
    links: list[_Link] = field(default_factory=list)
    styles: dict[str, _Style] = field(default_factory=dict)
    rows: list[list[str]] | None = None
    """Of the table that is being read; None: there is none."""

    def take(self, token: Token) -> None:
        HANDLERS.get(token.type, _nothing)(self, token)

    def result(self, markdown: str) -> FormattedText:
        entities = sorted(self.entities, key=lambda entity: (entity.offset, -entity.length))
        return FormattedText("".join(self.pieces), tuple(entities), markdown)

    def write(self, text: str) -> None:
        if text:
            self.pieces.append(text)
            self.at += utf16_units(text)

    def mark(self, kind: str, start: int, *, url: str | None = None, language: str | None = None) -> None:
        if self.at > start:
            self.lines.append(self.block)
            self.entities.append(MessageEntity(kind, start, self.at - start, url=url, language=language))

    # ------------------------------------------------------------ blocks

    def begin(self, lines: Sequence[int] | None, *, alone: bool = False) -> None:
        """Begins a block on a new line, after a blank line if the source has one.

        ``lines``: of the source, from and to. ``alone``: no prefix may precede the block on its line.
        """
        start, end = lines or (self.line, self.line)
        if self.line >= 0:
            self.write("\n\n" if start > self.line else "\n")
        self.block, self.line = start, end
        if not alone:
            self.write_prefixes()
        elif any(not container.begun for container in self.containers):
            self.write_prefixes()
            self.write("\n")

    def write_prefixes(self) -> None:
        self.write("".join(container.prefix() for container in self.containers))

    def new_line(self) -> None:
        self.write("\n")
        self.write_prefixes()

    def paragraph(self, token: Token) -> None:
        if self.rows is None:
            self.begin(token.map)

    def inline(self, token: Token) -> None:
        if self.rows is not None:
            self.rows[-1].append(plain_text(token.children or ()))
            return
        for child in token.children or ():
            self.take(child)

    def heading(self, token: Token) -> None:
        self.begin(token.map)
        self.open_style("strong")

    def heading_end(self, _: Token) -> None:
        self.close_style("strong")

    def rule(self, token: Token) -> None:
        self.begin(token.map)
        self.write(RULE)

    def code(self, token: Token) -> None:
        info = token.info.strip()
        found = LANGUAGE.fullmatch(info)
        language = found[1] if found else ""
        said = "" if info == language else info
        content = token.content.removesuffix("\n").expandtabs(TAB)
        if not content.strip():
            language, said, content = "", info, ""
        if said:
            self.begin(token.map)
            self.write(said)
        if content:
            if said:
                self.write("\n")
            else:
                self.begin(token.map, alone=True)
            self.fixed(content, language)

    def fixed(self, text: str, language: str = "") -> None:
        start = self.at
        self.write(text)
        self.mark(MessageEntity.PRE, start, language=language or None)

    # ------------------------------------------------------------ containers

    def list_start(self, _: Token) -> None:
        self.lists += 1

    def list_end(self, _: Token) -> None:
        self.lists -= 1

    def item(self, token: Token) -> None:
        line = token.map[0] if token.map else 0
        self.containers.append(_Container(self.item_mark(token), INDENT, line))

    def item_mark(self, token: Token) -> str:
        box = str(token.meta.get(BOX, ""))
        if NUMBER in token.meta:
            return f"{token.meta[NUMBER]}{token.markup} {box}"
        return box or BULLETS[min(self.lists, len(BULLETS)) - 1]

    def item_end(self, _: Token) -> None:
        item = self.containers[-1]
        if not item.begun:
            self.begin((item.line, item.line + 1))
        self.containers.pop()

    def quote(self, token: Token) -> None:
        if self.quotes:
            self.quotes.append(None)
            self.containers.append(_Container("> ", "> "))
            return
        self.begin(token.map, alone=True)
        self.quotes.append(_Quote(self.at, self.line, self.containers))
        self.containers, self.line = [], -1

    def quote_end(self, _: Token) -> None:
        quote = self.quotes.pop()
        if quote is None:
            self.containers.pop()
            return
        self.mark(MessageEntity.BLOCKQUOTE, quote.start)
        self.containers = quote.around
        self.line = max(self.line, quote.line)

    # ------------------------------------------------------------ tables

    def table(self, token: Token) -> None:
        self.begin(token.map, alone=True)
        self.rows = []

    def row(self, _: Token) -> None:
        if self.rows is not None:
            self.rows.append([])

    def table_end(self, _: Token) -> None:
        rows, self.rows = self.rows or [], None
        self.fixed(render_table(rows))

    # ------------------------------------------------------------ within a line

    def text(self, token: Token) -> None:
        """Writes a text in which names notify nobody: Telegram looks for no mention where a link is."""
        text, at = token.content, 0
        for found in MENTION.finditer(text) if "@" in text and not self.links else ():
            if found["name"]:
                self.write(text[at : found.start()])
                start, at = self.at, found.end()
                self.write(found.group())
                self.mark(MessageEntity.TEXT_LINK, start, url=f"https://t.me/{found['name']}")
        self.write(text[at:])

    def line_end(self, _: Token) -> None:
        self.new_line()

    def code_span(self, token: Token) -> None:
        """Writes code, which Telegram supports in no link, and in which it supports no other entity."""
        if self.links:
            self.write(token.content)
            return
        for name, style in self.styles.items():
            self.mark(STYLES[name], style.start)
        start = self.at
        self.write(token.content)
        self.mark(MessageEntity.CODE, start)
        for style in self.styles.values():
            style.start = self.at

    def style(self, token: Token) -> None:
        self.open_style(token.tag)

    def style_end(self, token: Token) -> None:
        self.close_style(token.tag)

    def open_style(self, name: str) -> None:
        if name in self.styles:
            self.styles[name].depth += 1
        else:
            self.styles[name] = _Style(self.at)

    def close_style(self, name: str) -> None:
        style = self.styles[name]
        style.depth -= 1
        if not style.depth:
            self.mark(STYLES[name], self.styles.pop(name).start)

    def link(self, token: Token) -> None:
        address, title = (str(token.attrs.get(name, "")) for name in ("href", "title"))
        self.links.append(_Link(address, title, self.at, len(self.pieces)))

    def link_end(self, _: Token) -> None:
        link = self.links.pop()
        label = "".join(self.pieces[link.piece :])
        if is_link(link.address) and label.strip():
            if label != link.address:  # which Telegram finds itself
                self.mark(MessageEntity.TEXT_LINK, link.start, url=link.address)
        else:
            self.write(beside(label, link.address))
        self.write(f" ({link.title})" if link.title else "")

    def image(self, token: Token) -> None:
        label = plain_text(token.children or ())
        if self.links:
            self.write(label + beside(label, str(token.attrs.get("src", ""))))
            return
        src, title = (str(token.attrs.get(name, "")) for name in ("src", "title"))
        self.links.append(_Link(src, title, self.at, len(self.pieces)))
        self.write(label)
        self.link_end(token)


def _nothing(_: _EntityWriter, __: Token) -> None:
    """Handles a closing token for which there is nothing to write."""


HANDLERS: dict[str, Callable[[_EntityWriter, Token], None]] = {
    "paragraph_open": _EntityWriter.paragraph,
    "inline": _EntityWriter.inline,
    "heading_open": _EntityWriter.heading,
    "heading_close": _EntityWriter.heading_end,
    "hr": _EntityWriter.rule,
    "fence": _EntityWriter.code,
    "code_block": _EntityWriter.code,
    "bullet_list_open": _EntityWriter.list_start,
    "bullet_list_close": _EntityWriter.list_end,
    "ordered_list_open": _EntityWriter.list_start,
    "ordered_list_close": _EntityWriter.list_end,
    "list_item_open": _EntityWriter.item,
    "list_item_close": _EntityWriter.item_end,
    "blockquote_open": _EntityWriter.quote,
    "blockquote_close": _EntityWriter.quote_end,
    "table_open": _EntityWriter.table,
    "tr_open": _EntityWriter.row,
    "table_close": _EntityWriter.table_end,
    "text": _EntityWriter.text,
    "softbreak": _EntityWriter.line_end,
    "hardbreak": _EntityWriter.line_end,
    "code_inline": _EntityWriter.code_span,
    **{f"{name}_open": _EntityWriter.style for name in STYLES},
    **{f"{name}_close": _EntityWriter.style_end for name in STYLES},
    "link_open": _EntityWriter.link,
    "link_close": _EntityWriter.link_end,
    "image": _EntityWriter.image,
}
