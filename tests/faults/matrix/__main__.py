"""``python -m tests.faults.matrix``: plays it, and prints what became of it. Exit status 1 if anything is wrong."""

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

from tests.faults.matrix.plan import Cell, Database, Platform, cells, quick
from tests.faults.matrix.run import run
from tests.faults.matrix.scene import Outcome
from tests.faults.matrix.table import LEGEND, markdown, summary, table_of

FAMILIES = tuple(dict.fromkeys(platform.family for platform in Platform))
WIDTH = 120
"""Of what is no terminal."""
DATABASES = tuple(database.value for database in Database)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and disks go when this is told to
    options = _options()
    pick = quick if options.quick else cells
    wanted = [cell for cell in pick(options.only, options.database) if options.like in str(cell)]
    console, progress, begun = _console(stderr=options.markdown), _console(stderr=True), time.monotonic()
    playing = run(wanted * options.times, options.at_once)
    outcomes = []
    for outcome in track(playing, "playing", total=len(wanted) * options.times, console=progress, transient=True):
        outcomes.append(outcome)
        _tell(outcome, progress, options.logs)
    for platform in FAMILIES:
        if found := [outcome for outcome in outcomes if outcome.cell.platform.family == platform]:
            console.print(table_of(platform, found))
    console.print(LEGEND)
    console.print(f"{summary(outcomes)} {time.monotonic() - begun:.0f} s")
    if options.markdown:
        print(markdown(outcomes))
    sys.exit(0 if all(outcome.well for outcome in outcomes) else 1)


def _console(*, stderr: bool) -> Console:
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each fault once on each platform")
    parser.add_argument("--only", type=_listed(FAMILIES), default=FAMILIES, help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--database", type=_listed(DATABASES), default=DATABASES, help=f"of {', '.join(DATABASES)}")
    parser.add_argument("--like", default="", metavar="WORDS", help='those with this in their name: "kill -9, after"')
    parser.add_argument("--times", type=int, default=1, help="play each so often")
    parser.add_argument("--at-once", type=int, default=7 * (os.cpu_count() or 1), help="plays at the same time")
    parser.add_argument("--markdown", action="store_true", help="print one table in Markdown; the rest goes to stderr")
    parser.add_argument("--logs", type=Path, help="a folder for what the gateways logged where something was wrong")
    return parser.parse_args()


def _listed(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads an option that names some of these, with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        wanted = tuple(name.strip() for name in text.split(","))
        if not set(wanted) <= set(names):
            raise argparse.ArgumentTypeError(f"choose from {', '.join(names)}")
        return wanted

    return read


def _tell(outcome: Outcome, console: Console, logs: Path | None) -> None:
    """What is wrong, as soon as it is known."""
    if outcome.skipped:
        console.print(f"skipped: {outcome.cell}: {outcome.skipped}", markup=False)
    elif not outcome.well:
        console.print(f"{outcome.cell}: {outcome.trouble or outcome.tally}", markup=False)
        if logs is not None:
            _keep(outcome.cell, outcome.log, logs)


def _keep(cell: Cell, log: str, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    (logs / f"{cell}.log".replace(" ", "_").replace(",", "")).write_text(log)


if __name__ == "__main__":
    main()
