"""Tables, drawn in letters of one width: Telegram has none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from markdown_it.token import Token

WIDEST = 60
"""Letters in a line up to which columns are filled up, so that they stand below one another; more would be wrapped."""
BAR = re.compile(r"(?<!\\)\|")
AROUND = " \t>"
"""What may stand before a row, and behind it."""


def drawn(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first of which is the header."""
    used = max((at + 1 for row in rows for at, cell in enumerate(row) if cell), default=0)
    cells = [[cell.replace("\n", " ") for cell in row[:used]] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    if sum(widths) + 3 * len(widths) > WIDEST:
        return "\n".join(" | ".join(row).rstrip(" |") for row in cells)
    header, *others = (" │ ".join(map(_filled, row, widths)).rstrip() for row in cells)
    return "\n".join([header, "─┼─".join("─" * width for width in widths), *others])


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """In columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def widened(markdown: str, tokens: Sequence[Token]) -> str:
    """The same Markdown, with headers as wide as the widest row: of one that is wider the parser drops the rest."""
    lines = markdown.split("\n")
    for at, token in enumerate(tokens):
        if token.type == "table_open" and token.map:
            start, end = token.map
            more = max(map(_cells, lines[start + 2 : end]), default=0) - _columns(tokens, at)
            if more > 0:
                lines[start] = _longer(lines[start], "  |" * more)
                lines[start + 1] = _longer(lines[start + 1], "---|" * more)
    return "\n".join(lines)


def _columns(tokens: Sequence[Token], at: int) -> int:
    """Of the table that begins at a token."""
    columns = 0
    while tokens[at].type != "thead_close":
        columns += tokens[at].type == "th_open"
        at += 1
    return columns


def _cells(line: str) -> int:
    row = line.strip(AROUND).removeprefix("|")
    bars = len(BAR.findall(row))
    return bars if row.endswith("|") and not row.endswith("\\|") else bars + 1


def _longer(line: str, cells: str) -> str:
    line = line.rstrip()
    return line + cells if line.endswith("|") and not line.endswith("\\|") else f"{line} |{cells}"
