"""Converts Markdown to a text with entities, which mark what is bold, a link, and so on.

The kinds of entities: core.telegram.org/bots/api#messageentity. No word is lost: what Telegram cannot show is kept as
it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from markdown_it.token import Token
from telegram import MessageEntity

from adapters.base.markdown.links import beside
from adapters.base.markdown.reading import NUMBER
from adapters.telegram.block_layout import BlockLayout
from adapters.telegram.growing_text import FormattedText, GrowingText
from adapters.telegram.links import is_link
from adapters.telegram.markdown_tokens import BOX, parse, plain_text
from adapters.telegram.table_renderer import render_table

BULLETS = ("• ", "◦ ", "▪ ")
RULE = "———"
TAB = 4

STYLES = {"strong": MessageEntity.BOLD, "em": MessageEntity.ITALIC, "s": MessageEntity.STRIKETHROUGH}
LANGUAGE = re.compile(r"([A-Za-z0-9_+#.-]{1,32})(?:\s*+(?:\{.*|[\w-]+=.*))?", re.DOTALL)
"""The info string of a fence: a language, and options for renderers. Any other is shown to the reader."""
MENTION = re.compile(r"(?:://|\w\.\w)[^\s@]{0,200}/\S*|(?<!\w)@(?P<name>[A-Za-z][A-Za-z0-9_]{3,31})(?!\w)")
"""An address, or what Telegram takes for somebody's name: github.com/tdlib/td, MessageEntity.cpp, match_mentions."""


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
    return writer.written.result(markdown), writer.written.lines


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


class _EntityWriter:
    """Writes one token after another: each has a method, see ``HANDLERS``."""

    __slots__ = ("blocks", "links", "lists", "rows", "styles", "written")

    def __init__(self) -> None:
        self.written = GrowingText()
        self.blocks = BlockLayout(self.written)
        self.lists = 0
        """How many lists are open."""
        self.links: list[_Link] = []
        self.styles: dict[str, _Style] = {}
        self.rows: list[list[str]] | None = None
        """Of the table that is being read; None: there is none."""

    def take(self, token: Token) -> None:
        HANDLERS.get(token.type, _nothing)(self, token)

    # ------------------------------------------------------------ blocks

    def paragraph(self, token: Token) -> None:
        if self.rows is None:
            self.blocks.begin(token.map)

    def inline(self, token: Token) -> None:
        if self.rows is not None:
            self.rows[-1].append(plain_text(token.children or ()))
            return
        for child in token.children or ():
            self.take(child)

    def heading(self, token: Token) -> None:
        self.blocks.begin(token.map)
        self._open_style("strong")

    def heading_end(self, _: Token) -> None:
        self._close_style("strong")

    def rule(self, token: Token) -> None:
        self.blocks.begin(token.map)
        self.written.write(RULE)

    def code(self, token: Token) -> None:
        """Writes a block of code, below what its fence says beside a language."""
        language, said, content = _fence(token)
        if said:
            self.blocks.begin(token.map)
            self.written.write(said)
        if content and said:
            self.written.write("\n")
        elif content:
            self.blocks.begin(token.map, alone=True)
        if content:
            self._fixed(content, language)

    def _fixed(self, text: str, language: str = "") -> None:
        """Writes a text whose letters are all as wide."""
        start = self.written.at
        self.written.write(text)
        self.written.mark(MessageEntity.PRE, start, language=language or None)

    # ------------------------------------------------------------ lists and quotations

    def list_start(self, _: Token) -> None:
        self.lists += 1

    def list_end(self, _: Token) -> None:
        self.lists -= 1

    def item(self, token: Token) -> None:
        self.blocks.open_item(self._item_mark(token), token.map[0] if token.map else 0)

    def _item_mark(self, token: Token) -> str:
        box = str(token.meta.get(BOX, ""))
        if NUMBER in token.meta:
            return f"{token.meta[NUMBER]}{token.markup} {box}"
        return box or BULLETS[min(self.lists, len(BULLETS)) - 1]

    def item_end(self, _: Token) -> None:
        self.blocks.close_item()

    def quote(self, token: Token) -> None:
        self.blocks.open_quote(token.map)

    def quote_end(self, _: Token) -> None:
        self.blocks.close_quote()

    # ------------------------------------------------------------ tables

    def table(self, token: Token) -> None:
        self.blocks.begin(token.map, alone=True)
        self.rows = []

    def row(self, _: Token) -> None:
        if self.rows is not None:
            self.rows.append([])

    def table_end(self, _: Token) -> None:
        rows, self.rows = self.rows or [], None
        self._fixed(render_table(rows))

    # ------------------------------------------------------------ within a line

    def text(self, token: Token) -> None:
        """Writes a text in which names notify nobody: Telegram looks for no mention where a link is."""
        text, at = token.content, 0
        for found in MENTION.finditer(text) if "@" in text and not self.links else ():
            if found["name"]:
                self.written.write(text[at : found.start()])
                start, at = self.written.at, found.end()
                self.written.write(found.group())
                self.written.mark(MessageEntity.TEXT_LINK, start, url=f"https://t.me/{found['name']}")
        self.written.write(text[at:])

    def line_end(self, _: Token) -> None:
        self.blocks.new_line()

    def code_span(self, token: Token) -> None:
        """Writes code, which Telegram supports in no link, and in which it supports no other entity."""
        if self.links:
            self.written.write(token.content)
            return
        for name, style in self.styles.items():
            self.written.mark(STYLES[name], style.start)
        start = self.written.at
        self.written.write(token.content)
        self.written.mark(MessageEntity.CODE, start)
        for style in self.styles.values():
            style.start = self.written.at

    def style(self, token: Token) -> None:
        self._open_style(token.tag)

    def style_end(self, token: Token) -> None:
        self._close_style(token.tag)

    def _open_style(self, name: str) -> None:
        if name in self.styles:
            self.styles[name].depth += 1
        else:
            self.styles[name] = _Style(self.written.at)

    def _close_style(self, name: str) -> None:
        style = self.styles[name]
        style.depth -= 1
        if not style.depth:
            self.written.mark(STYLES[name], self.styles.pop(name).start)

    def link(self, token: Token) -> None:
        self._open_link(str(token.attrs.get("href", "")), token)

    def link_end(self, _: Token) -> None:
        link = self.links.pop()
        label = self.written.since(link.piece)
        if is_link(link.address) and label.strip():
            if label != link.address:  # which Telegram finds itself
                self.written.mark(MessageEntity.TEXT_LINK, link.start, url=link.address)
        else:
            self.written.write(beside(label, link.address))
        self.written.write(f" ({link.title})" if link.title else "")

    def image(self, token: Token) -> None:
        """Writes a link to an image, with its description; none in another link."""
        label, address = plain_text(token.children or ()), str(token.attrs.get("src", ""))
        if self.links:
            self.written.write(label + beside(label, address))
            return
        self._open_link(address, token)
        self.written.write(label)
        self.link_end(token)

    def _open_link(self, address: str, token: Token) -> None:
        title = str(token.attrs.get("title", ""))
        self.links.append(_Link(address, title, self.written.at, self.written.pieces))


def _fence(token: Token) -> tuple[str, str, str]:
    """Returns the language of a block of code, what its fence says else, and the code; of an empty one what it says."""
    info = token.info.strip()
    content = token.content.removesuffix("\n").expandtabs(TAB)
    if not content.strip():
        return "", info, ""
    found = LANGUAGE.fullmatch(info)
    language = found[1] if found else ""
    return language, "" if info == language else info, content


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
