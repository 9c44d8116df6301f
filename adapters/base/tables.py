"""Tables: keeps the cells beyond a header, which parsers of Markdown drop, and writes a table as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

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


def as_text(table: SyntaxTreeNode, max_width: int) -> str:
    """Returns a table as lines of plain text, for a platform that shows none but in code.

    ``max_width``: characters in a line up to which columns are padded, so that they are aligned.
    """
    rows = [[_cell_text(cell) for cell in row.children] for part in table.children for row in part.children]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 3 * len(widths) <= max_width:
        rows = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(" | ".join(row).rstrip() for row in rows)


def plain_text(node: SyntaxTreeNode) -> str:
    """Returns what is inside, without markup: a link as its text, with the URL in brackets."""
    return "".join(map(_plain, node.children))


def _plain(node: SyntaxTreeNode) -> str:
    inner = plain_text(node) or node.content
    address = str(node.attrs.get("href") or node.attrs.get("src") or "")
    return f"{inner} ({address})" if address and address != inner else inner


def _cell_text(cell: SyntaxTreeNode) -> str:
    return plain_text(cell.children[0]).replace("\n", " ")


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
