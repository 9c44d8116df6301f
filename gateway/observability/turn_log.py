"""The newest log lines about turns, in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from gateway.domain.models import TurnId

MAX_LINES = 2000
"""Lines of all turns that one process keeps in memory: about a megabyte."""


class LogEntry(NamedTuple):
    """A log line with a field ``turn``."""

    number: int
    at: float
    logger: str
    level: str
    fields: Mapping[str, Any]


class TurnLogRing:
    """The newest lines of one process. Thread-safe."""

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=max_lines)
        self._number = 0
        self.watched: frozenset[TurnId] = frozenset()
        self.on_watched_line: Callable[[], object] = lambda: None
        """Called with each line of a watched turn, in any thread."""

    def add(self, logger: str, level: str, fields: Mapping[str, Any]) -> None:
        """Takes a log line with a field ``turn``. Called for every such line, so it does little."""
        self._number += 1  # two threads may give two lines one number: both are after all that were taken before
        self._entries.append(LogEntry(self._number, time.time(), logger, level, dict(fields)))
        if self.watched and fields["turn"] in self.watched:
            self.on_watched_line()

    def since(self, number: int) -> Sequence[LogEntry]:
        """Returns the lines after the one with this number, in their order."""
        found: list[LogEntry] = []
        for entry in reversed(self._snapshot()):
            if entry.number <= number:
                break
            found.append(entry)
        return found[::-1]

    def _snapshot(self) -> Sequence[LogEntry]:
        while True:
            with suppress(RuntimeError):  # another thread has added a line meanwhile
                return list(islice(self._entries, len(self._entries)))
