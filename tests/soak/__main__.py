"""``python -m tests.soak``: runs the soak test and prints one table. Exit status 1 when any message was lost, repeated
without a label, or out of order.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.bench.postgres_server import DatabaseServer, database_server
from tests.soak.report import histories_of, table_of
from tests.soak.soak import soak


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        logs = Path(options.logs or f"{name}/logs")
        shared = Path(name) / "database"
        for folder in (logs, shared):
            folder.mkdir(parents=True, exist_ok=True)
        with database_server(shared) as server:
            passed = _run(options, logs.absolute(), server)
    sys.exit(0 if passed else 1)


def _run(options: argparse.Namespace, logs: Path, server: DatabaseServer) -> bool:
    """Runs the test, prints the results, and returns whether it passed."""
    begun, out = time.monotonic(), Console(stderr=True, highlight=False)
    outcome = soak(
        logs,
        server,
        seconds=options.minutes * 60,
        processes=options.processes,
        seed=options.seed,
        report_progress=lambda what: out.print(f"[dim]{time.monotonic() - begun:4.0f} s  {what}"),
    )
    footer = f"{options.processes} processes, {options.minutes:g} minutes of load, --seed {options.seed}"
    Console(width=110).print(table_of(outcome, footer))
    for story in histories_of(outcome):
        out.print(story, markup=False, soft_wrap=True)
    return outcome.passed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--processes", type=int, default=4, help="half of them web, half worker; the first one is never disturbed"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000), help="seed of the random disruptions")
    parser.add_argument("--logs", metavar="FOLDER", help="where the processes' logs are kept")
    options = parser.parse_args()
    if options.processes < 2:
        parser.error("at least two processes are needed: one web, one worker")
    if sys.platform != "linux":
        parser.error("memory is read from /proc: this runs on Linux only")
    return options


if __name__ == "__main__":
    main()
