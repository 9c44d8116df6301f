"""Reads a canvas, which Slack returns as HTML, as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

SIGN_IN = re.compile(r"<title[^>]*>\s*(?:(?:sign|log)[ -]?in\b[^<]*|(?:[^<]*\W)?slack)\s*</title>", re.IGNORECASE)
"""The title of the page that a token gets which may not read a file: "Slack", "Login | Slack", "Sign in to Acme"."""
HEAD_CHARS = 20_000
SILENT = frozenset({"head", "script", "style", "template"})
MARKS = {
    **{f"h{level}": "#" * level + " " for level in range(1, 7)},
    "li": "- ",
    "blockquote": "> ",
}
"""What stands before the text of an element."""
BLOCKS = frozenset({*MARKS, "p", "div", "br", "hr", "tr", "ul", "ol", "pre", "table", "section"})
CELLS = frozenset({"td", "th"})
BLANK_LINES = re.compile(r"\n\s*\n+")


def is_sign_in_page(html: str) -> bool:
    return SIGN_IN.search(html[:HEAD_CHARS]) is not None


def text_of(html: str) -> str:
    """Returns the text of a canvas, with headings, lists and rows of tables in lines of their own."""
    reader = _CanvasReader()
    reader.feed(html)
    reader.close()
    return reader.text


class _CanvasReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._silent = 0

    @property
    def text(self) -> str:
        lines = ("".join(self._parts)).split("\n")
        return BLANK_LINES.sub("\n\n", "\n".join(line.strip(" \t|") for line in lines)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  # of the base class
        self._silent += tag in SILENT
        if tag in BLOCKS:
            self._parts.append(f"\n{MARKS.get(tag, '')}")
        elif tag in CELLS:
            self._parts.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in SILENT))
        if tag in BLOCKS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._parts.append(" ".join(data.split("\n")))
