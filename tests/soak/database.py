"""Queries the gateway's database during and after a soak test."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tests.bench.postgres_server import connect
from tests.soak.message_counts import MARK

HELD = """
SELECT turns.id FROM conversations JOIN turns ON conversation_id = conversations.id AND seq = head + 1
WHERE next_at IS NOT NULL AND owner LIKE %s
"""
STORY = "SELECT concat_ws(' ', id, attempts, 'attempts, parts', parts, 'trail', trail) FROM turns WHERE text LIKE %s"
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Books:
    """Each query uses its own connection."""

    def __init__(self, url: str) -> None:
        self._url = url

    def held_by(self, pid: int) -> list[str]:
        """Returns the turns that a process has claimed."""
        with connect(self._url) as connection:
            return [turn for (turn,) in connection.execute(HELD, [f"%:{pid}:%"])]

    def unfinished(self) -> int:
        with connect(self._url) as connection:
            return _number(connection.execute("SELECT count(*) FROM conversations WHERE head < tail").fetchone())

    def connections(self) -> int:
        """Returns the number of the gateway's connections."""
        with connect(self._url) as connection:
            return _number(connection.execute(OTHERS).fetchone())

    def size_mb(self) -> float:
        with connect(self._url) as connection:
            size = _number(connection.execute("SELECT pg_database_size(current_database())").fetchone())
            return size / 1024 / 1024

    def deliveries(self) -> Deliveries:
        with connect(self._url) as connection:
            rows = connection.execute("SELECT id, text, delivered_at FROM turns WHERE delivered_at IS NOT NULL")
            return Deliveries([(str(turn), str(text), float(at)) for turn, text, at in rows])

    def story(self, mark: str) -> str:
        """Returns the stored attempts, posted messages and audit log of a message's turn, for debugging."""
        with connect(self._url) as connection:
            return "; ".join(str(row) for (row,) in connection.execute(STORY, [f"%{mark}%"]))

    def failures(self) -> dict[str, int]:
        """Returns the number of failed turns by error code."""
        with connect(self._url) as connection:
            rows = connection.execute("SELECT error_code, count(*) FROM turns WHERE state = 'failed' GROUP BY 1")
            return {str(code): int(times) for code, times in rows}


class Deliveries:
    """When each turn was delivered, in seconds since the epoch."""

    def __init__(self, rows: Collection[tuple[str, str, float]]) -> None:
        self._by_turn = {turn: at for turn, _, at in rows}
        self.by_mark: Mapping[str, float] = {mark: at for _, text, at in rows for mark in MARK.findall(text)}

    def last_of(self, turns: Collection[str], after: float) -> float | None:
        """Returns the seconds from ``after`` to the last delivery of these turns; None if none was delivered later."""
        later = [at - after for turn in turns if (at := self._by_turn.get(turn, 0.0)) > after]
        return max(later, default=None)


def _number(row: tuple[object, ...] | None) -> int:
    assert row is not None
    return int(str(row[0]))
