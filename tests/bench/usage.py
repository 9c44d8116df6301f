"""Reads CPU and memory of a process and its children from /proc."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import reduce
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    cpu_seconds: float
    rss_mb: float
    pss_mb: float
    """Like RSS, but shared memory is divided among the processes that share it."""
    peak_mb: float
    """The maximum of RSS so far."""

    def __add__(self, other: ProcessUsage) -> ProcessUsage:
        return ProcessUsage(*map(operator.add, astuple(self), astuple(other)))


def usage_of(pid: int) -> ProcessUsage:
    """Returns the sum for a process and its children."""
    return reduce(operator.add, filter(None, map(_usage, _with_children(pid))))


def cpu_seconds_of_server(pid: int) -> float:
    """Returns the CPU time of a process, of its children, and of those of them that have ended."""
    return sum(map(_cpu_seconds_of_child, _with_children(pid))) + _cpu_seconds(pid, first=13)


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def connections_to(port: int) -> int:
    """Returns the number of established connections to a local port."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[3] == ESTABLISHED and int(row[2].partition(":")[2], 16) == port for row in rows)


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _with_children(int(child))


def _usage(pid: int) -> ProcessUsage | None:
    """Returns the usage of one process; None if it has just ended, like helper programs that libraries run briefly."""
    try:
        memory, most = _proc_table(pid, "smaps_rollup"), _proc_table(pid, "status")["VmHWM"]
        return ProcessUsage(_cpu_seconds(pid), memory["Rss"] / 1024, memory["Pss"] / 1024, most / 1024)
    except (KeyError, ProcessLookupError, FileNotFoundError):
        return None


def _cpu_seconds_of_child(pid: int) -> float:
    """Returns 0 for one that has just ended: its time is its parent's now."""
    try:
        return _cpu_seconds(pid)
    except (ProcessLookupError, FileNotFoundError):
        return 0.0


def _cpu_seconds(pid: int, first: int = 11) -> float:
    """``first``: index of the user's and the system's time in ``_stat``; 13: of children that have ended."""
    fields = _stat(pid)
    return (int(fields[first]) + int(fields[first + 1])) / CLOCK_TICKS


def _stat(pid: int) -> list[str]:
    """Returns the fields of /proc/PID/stat after the name, which may contain anything (man 5 proc)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _proc_table(pid: int, name: str) -> dict[str, int]:
    """Returns the numeric rows of a file in /proc/PID."""
    rows = (line.split() for line in Path(f"/proc/{pid}/{name}").read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
