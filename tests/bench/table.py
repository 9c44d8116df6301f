"""Builds the table of results."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from tests.bench.measurements import Measurement

TARGET_WORDS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
COLUMNS = ("gateway", "baseline", "difference", "ratio", "target")


def table_of(measurements: Iterable[Measurement], footer: Iterable[str]) -> Table:
    """Returns one row for each measurement, under the headings of their sections."""
    table = Table(caption="\n".join(footer), caption_justify="left", caption_style="")
    table.add_column("")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("the baseline is", overflow="fold")
    section = ""
    for figure in measurements:
        if figure.section != section:
            section = figure.section
            table.add_section()
            table.add_row(f"[bold]{section}[/]")
        table.add_row(*_cells(figure))
    return table


def _cells(figure: Measurement) -> Iterable[str]:
    aim = figure.target.text if figure.target else ""
    return (
        f"  {figure.name}",
        _number(figure.value),
        *_compared(figure.value, figure.baseline),
        aim,
        TARGET_WORDS[figure.target_met],
        figure.note,
    )


def _compared(ours: float, theirs: float | None) -> tuple[str, str, str]:
    if theirs is None:
        return "", "", ""
    difference = ours - theirs
    sign = "+" if difference >= 0 else "-"
    return _number(theirs), f"{sign}{_number(abs(difference))}", f"{ours / theirs:.2f}x" if theirs else ""


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
