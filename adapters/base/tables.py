"""Keeps the cells of a table's row beyond its header, which parsers of Markdown drop."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.token import Token

BAR = re.compile(r"(?<!\\)\|")
AROUND = " \t>"
"""What may precede and follow a row."""


def widened(markdown: str, tokens: Sequence[Token]) -> str:
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
