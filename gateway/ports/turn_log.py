"""The interface to the database for live log lines of a turn: those that one process writes and another one shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.models import TurnId

FIRST_WORDS = "first words"
TOOL_CALLED = "tool called"
TOOL_RETURNED = "tool returned"
"""Events that are noted for whoever looks, with the fields ``tool`` and ``call``, and not written to the log."""


@dataclass(frozen=True, slots=True)
class TurnLogLine:
    """A log line about a turn. It holds neither secrets nor what anybody wrote."""

    turn_id: TurnId
    at: float
    """Seconds since the epoch, by the clock of the process that wrote it."""
    process: str
    level: str
    logger: str
    event: str
    fields: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    """Counts up in the order in which lines are stored; 0: not stored yet."""


class TurnLogs(Protocol):
    """Log lines of turns that somebody looks at. Sync, thread-safe; methods do I/O and may raise StoreUnavailable."""

    def watch(self, turn_id: TurnId, seconds: float) -> None:
        """Asks all processes to store the lines of a turn for so long. Called again to go on."""
        ...

    def watched(self) -> frozenset[TurnId]:
        """Returns the turns that are watched, the newest ``MAX_WATCHED`` of them. Cheap: called each second."""
        ...

    def add(self, lines: Collection[TurnLogLine]) -> None:
        """Stores lines in their order."""
        ...

    def lines(self, turn_id: TurnId, *, after: int = 0, limit: int = 500) -> Sequence[TurnLogLine]:
        """Returns stored lines of a turn with a number above ``after``, in their order."""
        ...

    def erase_older_than(self, seconds: float) -> None:
        """Deletes lines and watches that are older."""
        ...
