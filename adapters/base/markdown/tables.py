"""Tables: keeps the cells beyond a header, which parsers of Markdown drop, and writes a table as plain text.

``gateway/pages/chat/tables.js`` does the same for the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len, set_cell_size

from adapters.base.markdown.links import beside

BAR = re.compile(r"(?<!\\)\|")
AROUND = " \t>"
"""What may precede and follow a row."""
KEPT = re.compile(
    r"(?<![`\\])(`++)(?!`).+?(?<!`)\1(?!`)|(?<![\w$\\])\$(?![\s$])[^$\n`]*?(?<=[^\s\\])\$(?![\w$])|\\\(.{1,300}?\\\)"
)
"""Code, and formulas."""


def with_whole_rows(markdown: str, tokens: Sequence[Token]) -> str:
    """Returns the Markdown such that the parser drops no cell: it drops those beyond the header.

    A bar in code or in a formula that would make a cell too many is escaped: ``| `a|b` | $|c|$ |``. Else the header
    becomes as wide as the widest row.
    """
    lines = markdown.split("\n")
    for at, token in enumerate(tokens):
        if token.type == "table_open" and token.map:
            start, end = token.map
            columns = _columns(tokens, at)
            lines[start + 2 : end] = [_with_bars_kept(line, columns) for line in lines[start + 2 : end]]
            more = max(map(cells, lines[start + 2 : end]), default=0) - columns
            if more > 0:
                lines[start] = _extended(lines[start], "  |" * more)
                lines[start + 1] = _extended(lines[start + 1], "---|" * more)
    return "\n".join(lines)


def fitted(row: str, columns: int) -> str:
    """Returns a row of which no parser drops a cell: what is beyond the columns becomes part of the last cell."""
    row = _with_bars_kept(row, columns)
    more = cells(row) - columns
    if more <= 0:
        return row
    bars = [bar.start() for bar in BAR.finditer(row)]
    last = set(bars[-more - 1 : -1] if _ends_row(row.rstrip(AROUND + "\n")) else bars[-more:])
    return "".join(f"\\{char}" if at in last else char for at, char in enumerate(row))


def as_text(table: SyntaxTreeNode, max_width: int) -> str:
    """Returns a table as lines of plain text, for a platform that shows none but in code.

    ``max_width``: cells of a line, of which a character of Chinese takes two, up to which columns are padded, so that
    they are aligned.
    """
    rows = [[_cell_text(cell) for cell in row.children] for part in table.children for row in part.children]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 3 * len(widths) <= max_width:
        rows = [[set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(" | ".join(row).rstrip() for row in rows)


def plain_text(node: SyntaxTreeNode) -> str:
    """Returns what is inside, without markup: a link as its text, with the URL in brackets."""
    return "".join(map(_plain, node.children))


def _plain(node: SyntaxTreeNode) -> str:
    if node.type in {"softbreak", "hardbreak"}:
        return "\n"
    inner = plain_text(node) or node.content
    return inner + beside(inner, str(node.attrs.get("href") or node.attrs.get("src") or ""))


def _cell_text(cell: SyntaxTreeNode) -> str:
    return plain_text(cell.children[0]).replace("\n", " ")


def _columns(tokens: Sequence[Token], at: int) -> int:
    """Counts the columns of the table that begins at a token."""
    columns = 0
    while tokens[at].type != "thead_close":
        columns += tokens[at].type == "th_open"
        at += 1
    return columns


def cells(line: str) -> int:
    """Counts the cells of a row."""
    row = line.strip(AROUND + "\n").removeprefix("|")
    bars = len(BAR.findall(row))
    return bars if _ends_row(row) else bars + 1


def _ends_row(line: str) -> bool:
    return line.endswith("|") and not line.endswith("\\|")


def _with_bars_kept(line: str, columns: int) -> str:
    return KEPT.sub(lambda kept: BAR.sub(r"\\|", kept.group()), line) if cells(line) > columns else line


def _extended(line: str, more: str) -> str:
    line = line.rstrip()
    return line + more if _ends_row(line) else f"{line} |{more}"
