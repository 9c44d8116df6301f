"""``python -m tests.attack``: plays the attacks and prints one table. Exit status 1 when something does not hold."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.attack.connections import half_requests, silent_connections
from tests.attack.fairness import long_queue
from tests.attack.files import attached_files
from tests.attack.money import cancelled_runs
from tests.attack.requests import guessed_keys, junk_threads
from tests.attack.stage import Row, allow_many_files

Attack = Callable[[Path], Iterator[Row]]

ATTACKS: Mapping[str, Attack] = {
    "silent": silent_connections,
    "half": half_requests,
    "files": attached_files,
    "money": cancelled_runs,
    "keys": guessed_keys,
    "threads": junk_threads,
    "fairness": long_queue,
}


def main() -> None:
    options = _options()
    allow_many_files()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        for attack in options.attacks or ATTACKS:
            print(f"{attack} …", file=sys.stderr, flush=True)
            rows += ATTACKS[attack](Path(options.logs or name).absolute() / attack)
    print(table_of(rows))
    sys.exit(any(row.holds is False for row in rows))


def table_of(rows: list[Row]) -> str:
    """Returns the table as Markdown. What does not hold is marked."""
    lines = ["| attack | | measured | at most |", "|---|---|---|---|"]
    lines += [f"| {row.attack} | {row.figure} | {row.value}{_mark(row)} | {row.wanted} |" for row in rows]
    return "\n".join(lines)


def _mark(row: Row) -> str:
    return " **does not hold**" if row.holds is False else ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--logs", metavar="FOLDER", help="where the gateway's logs and databases are kept")
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("memory is read from /proc: this runs on Linux only")
    return options


if __name__ == "__main__":
    main()
