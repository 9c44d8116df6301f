"""``python -m tests.faults.matrix`` runs the cells and prints the results. Exits with 1 if any cell failed."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.faults.matrix.cell_scenario import CellOutcome
from tests.faults.matrix.plan import DatabaseKind, MatrixCell, PlatformVariant, cells, quick
from tests.faults.matrix.runner import run_cells
from tests.faults.matrix.table import LEGEND, markdown, platform_table, summary

FAMILIES = tuple(dict.fromkeys(platform.family for platform in PlatformVariant))
WIDTH = 120
"""Width where the output is not a terminal."""
DATABASES = tuple(database.value for database in DatabaseKind)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and mounts are cleaned up on SIGTERM
    options = _options()
    pick = quick if options.quick else cells
    wanted = [cell for cell in pick(options.only, options.database) if options.like in str(cell)]
    console, progress, begun = _console(stderr=options.markdown), _console(stderr=True), time.monotonic()
    results = run_cells(wanted * options.times, options.at_once)
    outcomes = []
    for outcome in track(results, "running", total=len(wanted) * options.times, console=progress, transient=True):
        outcomes.append(outcome)
        _report_failure(outcome, progress, options.logs)
    for platform in FAMILIES:
        if found := [outcome for outcome in outcomes if outcome.cell.platform.family == platform]:
            console.print(platform_table(platform, found))
    console.print(LEGEND)
    console.print(f"{summary(outcomes)} {time.monotonic() - begun:.0f} s")
    if options.markdown:
        print(markdown(outcomes))
    sys.exit(0 if all(outcome.passed for outcome in outcomes) else 1)


def _console(*, stderr: bool) -> Console:
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each fault once on each platform")
    parser.add_argument(
        "--only",
        type=_comma_list(FAMILIES),
        default=FAMILIES,
        help=f"platforms, comma-separated: {', '.join(FAMILIES)}",
    )
    parser.add_argument(
        "--database",
        type=_comma_list(DATABASES),
        default=DATABASES,
        help=f"databases, comma-separated: {', '.join(DATABASES)}",
    )
    parser.add_argument(
        "--like", default="", metavar="WORDS", help='only cells whose name contains this: "kill -9, after"'
    )
    parser.add_argument("--times", type=int, default=1, help="run each cell this many times")
    parser.add_argument("--at-once", type=int, default=7 * (os.cpu_count() or 1), help="cells run at the same time")
    parser.add_argument(
        "--markdown", action="store_true", help="print one Markdown table; everything else goes to stderr"
    )
    parser.add_argument("--logs", type=Path, help="folder for the gateways' logs of failed cells")
    return parser.parse_args()


def _comma_list(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Returns a parser for an option that lists some of these names, separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        wanted = tuple(name.strip() for name in text.split(","))
        if not set(wanted) <= set(names):
            raise argparse.ArgumentTypeError(f"choose from {', '.join(names)}")
        return wanted

    return read


def _report_failure(outcome: CellOutcome, console: Console, logs: Path | None) -> None:
    """Prints a skipped or failed cell as soon as its result is known."""
    if outcome.skipped:
        console.print(f"skipped: {outcome.cell}: {outcome.skipped}", markup=False)
    elif not outcome.passed:
        console.print(f"{outcome.cell}: {outcome.error or outcome.score}", markup=False)
        if logs is not None:
            _save_log(outcome.cell, outcome.log, logs)


def _save_log(cell: MatrixCell, log: str, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    (logs / f"{cell}.log".replace(" ", "_").replace(",", "")).write_text(log)


if __name__ == "__main__":
    main()
