"""Draws tables in monospaced text, as Telegram has none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from markdown_it.token import Token

MAX_WIDTH = 60
"""Columns of a line up to which cells are padded, so that they are aligned; longer lines would be wrapped."""
BAR = re.compile(r"(?<!\\)\|")
AROUND = " \t>"
"""What may precede and follow a row."""


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns the table. ``rows``: of cells; the first is the header."""
    used = max((at + 1 for row in rows for at, cell in enumerate(row) if cell), default=0)
    cells = [[cell.replace("\n", " ") for cell in row[:used]] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    if sum(widths) + 3 * len(widths) > MAX_WIDTH:
        return "\n".join(" | ".join(row).rstrip(" |") for row in cells)
    header, *others = (" │ ".join(map(_padded, row, widths)).rstrip() for row in cells)
    return "\n".join([header, "─┼─".join("─" * width for width in widths), *others])


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """Returns the width in terminal columns."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def widen(markdown: str, tokens: Sequence[Token]) -> str:
    """Returns the Markdown with headers as wide as the widest row, as the parser drops cells beyond the header."""
    lines = markdown.split("\n")
    for at, token in enumerate(tokens):
        if token.type == "table_open" and token.map:
            start, end = token.map
            more = max(map(_cells, lines[start + 2 : end]), default=0) - _columns(tokens, at)
            if more > 0:
                lines[start] = _extended(lines[start], "  |" * more)
                lines[start + 1] = _extended(lines[start + 1], "---|" * more)
    return "\n".join(lines)


def _columns(tokens: Sequence[Token], at: int) -> int:
    """Counts the columns of the table that begins at a token."""
    columns = 0
    while tokens[at].type != "thead_close":
        columns += tokens[at].type == "th_open"
        at += 1
    return columns


def _cells(line: str) -> int:
    row = line.strip(AROUND).removeprefix("|")
    bars = len(BAR.findall(row))
    return bars if row.endswith("|") and not row.endswith("\\|") else bars + 1


def _extended(line: str, cells: str) -> str:
    line = line.rstrip()
    return line + cells if line.endswith("|") and not line.endswith("\\|") else f"{line} |{cells}"
