"""Queries the gateway's database during and after a soak test."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tests.bench.postgres_server import open_connection
from tests.soak.message_counts import MARKER

CLAIMED_TURNS = """
SELECT turns.id FROM conversations JOIN turns ON conversation_id = conversations.id AND seq = head + 1
WHERE next_at IS NOT NULL AND owner LIKE %s
"""
TURN_HISTORY = (
    "SELECT concat_ws(' ', id, attempts, 'attempts, parts', parts, 'trail', trail) FROM turns WHERE text LIKE %s"
)
CONNECTION_COUNT = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class SoakDatabase:
    """Each query uses its own connection."""

    def __init__(self, url: str) -> None:
        self._url = url

    def claimed_turns(self, pid: int) -> list[str]:
        """Returns the turns that a process has claimed."""
        with open_connection(self._url) as connection:
            return [turn for (turn,) in connection.execute(CLAIMED_TURNS, [f"%:{pid}:%"])]

    def unfinished_conversations(self) -> int:
        with open_connection(self._url) as connection:
            return _single_number(connection.execute("SELECT count(*) FROM conversations WHERE head < tail").fetchone())

    def connection_count(self) -> int:
        """Returns the number of the gateway's connections."""
        with open_connection(self._url) as connection:
            return _single_number(connection.execute(CONNECTION_COUNT).fetchone())

    def size_mb(self) -> float:
        with open_connection(self._url) as connection:
            size = _single_number(connection.execute("SELECT pg_database_size(current_database())").fetchone())
            return size / 1024 / 1024

    def deliveries(self) -> DeliveryTimes:
        with open_connection(self._url) as connection:
            rows = connection.execute("SELECT id, text, delivered_at FROM turns WHERE delivered_at IS NOT NULL")
            return DeliveryTimes([(str(turn), str(text), float(at)) for turn, text, at in rows])

    def turn_history(self, marker: str) -> str:
        """Returns the stored attempts, posted messages and audit log of a message's turn, for debugging."""
        with open_connection(self._url) as connection:
            return "; ".join(str(row) for (row,) in connection.execute(TURN_HISTORY, [f"%{marker}%"]))

    def failures(self) -> dict[str, int]:
        """Returns the number of failed turns by error code."""
        with open_connection(self._url) as connection:
            rows = connection.execute("SELECT error_code, count(*) FROM turns WHERE state = 'failed' GROUP BY 1")
            return {str(code): int(times) for code, times in rows}


class DeliveryTimes:
    """When each turn was delivered, in seconds since the epoch."""

    def __init__(self, rows: Collection[tuple[str, str, float]]) -> None:
        self._by_turn = {turn: at for turn, _, at in rows}
        self.by_marker: Mapping[str, float] = {mark: at for _, text, at in rows for mark in MARKER.findall(text)}

    def seconds_to_last(self, turns: Collection[str], after: float) -> float | None:
        """Returns the seconds from ``after`` to the last delivery of these turns; None if none was delivered later."""
        later = [at - after for turn in turns if (at := self._by_turn.get(turn, 0.0)) > after]
        return max(later, default=None)


def _single_number(row: tuple[object, ...] | None) -> int:
    assert row is not None
    return int(str(row[0]))
