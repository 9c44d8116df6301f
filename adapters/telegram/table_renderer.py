"""Draws tables in monospaced text, as Telegram has none."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

MAX_WIDTH = 60
"""Columns of a line up to which cells are padded, so that they are aligned; longer lines would be wrapped."""


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns the table. ``rows``: of cells; the first is the header."""
    used = max((at + 1 for row in rows for at, cell in enumerate(row) if cell), default=0)
    cells = [[cell.replace("\n", " ") for cell in row[:used]] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if sum(widths) + 3 * len(widths) > MAX_WIDTH:
        return "\n".join(" | ".join(row).rstrip(" |") for row in cells)
    header, *others = (" │ ".join(map(set_cell_size, row, widths)).rstrip() for row in cells)
    return "\n".join([header, "─┼─".join("─" * width for width in widths), *others])
