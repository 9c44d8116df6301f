"""CPU and memory of a process and its children, as Linux tells them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_seconds: float
    rss_mb: float
    pss_mb: float
    """As RSS, but what processes share is divided among them."""


def usage_of(pid: int) -> Usage:
    """Of a process with its children, all together."""
    family = list(_family(pid))
    memory = [_memory(one) for one in family]
    rss, pss = (sum(one[name] for one in memory) / 1024 for name in ("Rss", "Pss"))
    return Usage(sum(map(_cpu_seconds, family)), rss, pss)


def connections_to(port: int) -> int:
    """How many connections of this machine go to a port of its own."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[3] == ESTABLISHED and int(row[2].partition(":")[2], 16) == port for row in rows)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    # Behind the name, which may hold anything, the state is the first field; utime and stime are the 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int) -> dict[str, int]:
    """In KB."""
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) for row in rows}
