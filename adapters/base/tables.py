"""Tables: keeps the cells beyond a header, which parsers of Markdown drop, and writes a table as plain text.

``gateway/pages/chat/tables.js`` does the same for the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len, set_cell_size

BAR = re.compile(r"(?<!\\)\|")
AROUND = " \t>"
"""What may precede and follow a row."""
CODE = re.compile(r"(?<![`\\])(`++)(?!`).+?(?<!`)\1(?!`)")


def with_whole_rows(markdown: str, tokens: Sequence[Token]) -> str:
    """Returns the Markdown such that the parser drops no cell: it drops those beyond the header.

    A bar in code that would make a cell too many is escaped: ``| `a|b` | c |``. Else the header becomes as wide as the
    widest row.
    """
    lines = markdown.split("\n")
    for at, token in enumerate(tokens):
        if token.type == "table_open" and token.map:
            start, end = token.map
            columns = _columns(tokens, at)
            lines[start + 2 : end] = [_with_bars_in_code(line, columns) for line in lines[start + 2 : end]]
            more = max(map(_cells, lines[start + 2 : end]), default=0) - columns
            if more > 0:
                lines[start] = _extended(lines[start], "  |" * more)
                lines[start + 1] = _extended(lines[start + 1], "---|" * more)
    return "\n".join(lines)


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


def _with_bars_in_code(line: str, columns: int) -> str:
    return CODE.sub(lambda code: BAR.sub(r"\\|", code.group()), line) if _cells(line) > columns else line


def _extended(line: str, cells: str) -> str:
    line = line.rstrip()
    return line + cells if line.endswith("|") and not line.endswith("\\|") else f"{line} |{cells}"
