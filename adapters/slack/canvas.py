"""Reads a canvas, which Slack returns as HTML, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

from adapters.base.text_input import labelled_link

SIGN_IN = re.compile(
    r"<title[^<>]*>\s*+(?:(?:sign|log)[ -]?in\b[^<]*+|(?:[^<]*\W)?slack)\s*+</title>",
    re.IGNORECASE,
)
"""The title of the page that a token gets which may not read a file: "Slack", "Login | Slack", "Sign in to Acme"."""
NO_TAG = re.compile(r"<(?![A-Za-z/!][^<>]{0,10000}>)")
"""A sign that begins no tag. The parser would look for the end of one up to the end of the text, from each of them."""
MOST_CHARS = 1_000_000
"""The rest of a longer canvas is left out: more than any model reads."""
HEAD_CHARS = 20_000
SILENT = frozenset({"head", "script", "style", "template"})
MARKS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
"""What stands before the text of a block."""
LISTS = frozenset({"ul", "ol"})
APART = frozenset({*MARKS, *LISTS, "blockquote", "p", "pre", "table"})
"""Blocks with an empty line before and after them, but in lists."""
BLOCKS = APART | frozenset(
    {"br", "dd", "details", "div", "dt", "figcaption", "figure", "hr", "li", "section", "summary", "tr"}
)
ENDED = BLOCKS - {"br", "hr"}
CELLS = frozenset({"td", "th"})
STYLES = {"code": "`", "del": "~~", "s": "~~", "strike": "~~"}
"""Formatting that says something."""
INDENT = "    "
FENCE = "```"


def is_sign_in_page(html: str) -> bool:
    return SIGN_IN.search(html[:HEAD_CHARS]) is not None


def text_of(html: str) -> str:
    """Returns the text of a canvas as Markdown, with the addresses of its links."""
    reader = _CanvasReader()
    reader.feed(NO_TAG.sub("&lt;", html[:MOST_CHARS]))
    reader.close()
    return reader.text


class _CanvasReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line = self._mark = ""
        self._silent = self._quotes = 0
        self._lists: list[int] = []
        """How many items each open list has; below zero: without numbers."""
        self._links: list[tuple[str, int]] = []
        """The addresses of open links, and where their labels begin."""
        self._is_code = self._in_cell = False
        self._cells = self._rows = 0

    @property
    def text(self) -> str:
        self._in_cell = False
        self._end_line()
        return "\n".join(self._lines).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._silent += tag in SILENT
        if tag in BLOCKS:
            self._begin_block(tag, given)
        elif tag in CELLS:
            self._in_cell, self._cells = True, self._cells + 1
            self._line += "| "
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self._line)))
        elif tag == "img":
            self._line += given.get("alt") or ""
        elif not self._is_code:
            self._line += STYLES.get(tag, "")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in SILENT))
        if tag in ENDED:
            self._end_block(tag)
        elif tag in CELLS:
            self._in_cell, self._line = False, f"{self._line.rstrip()} "
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())
        elif not self._is_code:
            self._line += STYLES.get(tag, "")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        data = data.replace("|", "\\|") if self._in_cell else data
        first, *others = data.split("\n") if self._is_code else [" ".join(data.split("\n"))]
        self._line += first
        for other in others:
            self._end_line()
            self._line = other

    # ------------------------------------------------------------ blocks

    def _begin_block(self, tag: str, given: Mapping[str, str | None]) -> None:
        self._end_line(apart=tag in APART)
        if tag == "li" and self._lists:
            self._mark = self._item_mark(given.get("class") or "")
        elif tag in LISTS:
            self._lists.append(0 if tag == "ol" else -1)
        elif tag == "table":
            self._rows = 0
        elif tag == "pre" and not self._in_cell:
            self._lines.append(FENCE)
            self._is_code = True
        else:
            self._quotes += tag == "blockquote"
            self._mark = MARKS.get(tag, self._mark)

    def _end_block(self, tag: str) -> None:
        if tag == "tr":
            self._end_row()
        if tag == "pre" and self._is_code:
            self._end_line()
            self._is_code = False
            self._lines.append(FENCE)
        self._end_line(apart=tag in APART)
        if tag in LISTS and self._lists:
            self._lists.pop()
        self._quotes = max(0, self._quotes - (tag == "blockquote"))

    def _item_mark(self, kind: str) -> str:
        if self._lists[-1] >= 0:
            self._lists[-1] += 1
        box = "[x] " if kind == "checked" else "[ ] " if kind == "unchecked" else ""
        return f"{self._lists[-1]}. {box}" if self._lists[-1] > 0 else f"- {box}"

    def _end_row(self) -> None:
        cells, self._cells, self._rows = self._cells, 0, self._rows + 1
        self._in_cell = False
        if cells:
            self._line = f"{' '.join(self._line.split())} |"
            self._end_line()
            self._lines += [f"|{' --- |' * cells}"] if self._rows == 1 else []

    def _end_line(self, *, apart: bool = False) -> None:
        """Ends a line, but in a cell only a word."""
        if self._in_cell:
            self._line += " "
            return
        said = self._line if self._is_code else self._line.strip()
        if said or self._is_code:
            before = "> " * self._quotes + INDENT * max(0, len(self._lists) - 1)
            self._lines.append(said if self._is_code else before + self._mark + said)
            self._mark = ""
        elif apart and not self._lists and self._lines and self._lines[-1]:
            self._lines.append("")
        if said and apart and not self._lists:
            self._lines.append("")
        self._line = ""

    def _end_link(self, address: str, start: int) -> None:
        label = self._line[start:]
        if address.startswith(("http://", "https://", "mailto:")):
            self._line = self._line[:start] + (labelled_link(label, address) if label.strip() else address)
