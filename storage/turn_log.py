"""TurnLogs on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import JSON, Column, Double, Index, Table, bindparam, delete, insert, select

from gateway.domain.models import TurnId
from gateway.ports.turn_log import TurnLogLine
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.tables.column_types import RowId, SafeText
from storage.tables.schema import metadata
from storage.upserts import upsert

MAX_WATCHED: Final = 50
COLUMNS: Final = ("turn_id", "at", "process", "level", "logger", "event", "fields")

turn_log_lines = Table(
    "turn_log_lines",
    metadata,
    Column("number", RowId, primary_key=True, autoincrement=True),
    Column("turn_id", SafeText, nullable=False),
    Column("at", Double, nullable=False),
    *(Column(name, SafeText, nullable=False) for name in ("process", "level", "logger", "event")),
    Column("fields", JSON, nullable=False),
    Column("stored_at", Double, nullable=False),
)
"""Log lines of turns that somebody looks at, for an hour."""

Index("turn_log_lines_of_turn", turn_log_lines.c.turn_id, turn_log_lines.c.number)

turn_log_watches = Table(
    "turn_log_watches",
    metadata,
    Column("turn_id", SafeText, primary_key=True),
    Column("until", Double, nullable=False),
)
"""The turns that somebody looks at."""

L = turn_log_lines.c
W = turn_log_watches.c

_add = insert(turn_log_lines).values(
    **{name: bindparam(name, type_=L[name].type) for name in COLUMNS}, stored_at=clock()
)
_watched = select(W.turn_id).where(W.until > clock()).order_by(W.until.desc()).limit(MAX_WATCHED)
_lines = (
    select(*(L[name] for name in COLUMNS), L.number)
    .where(L.turn_id == bindparam("turn"), L.number > bindparam("after"))
    .order_by(L.number)
    .limit(bindparam("limit"))
)
_older_lines = delete(turn_log_lines).where(L.stored_at < clock() - bindparam("age", type_=Double))
_older_watches = delete(turn_log_watches).where(W.until < clock() - bindparam("age", type_=Double))


def _watch(kind: str) -> Any:
    until = clock() + bindparam("seconds", type_=Double)
    return upsert(insert_of(kind)(turn_log_watches).values(turn_id=bindparam("turn", type_=SafeText), until=until))


WATCH: Final = PerDialect(_watch)


class SqlTurnLogs:
    """Implements TurnLogs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def watch(self, turn_id: TurnId, seconds: float) -> None:
        with self._database.single_write() as connection:
            connection.execute(WATCH[self._database.kind], {"turn": turn_id, "seconds": seconds})

    def watched(self) -> frozenset[TurnId]:
        with self._database.read() as connection:
            return frozenset(map(TurnId, connection.execute(_watched).scalars()))

    def add(self, lines: Collection[TurnLogLine]) -> None:
        rows = [{name: getattr(line, name) for name in COLUMNS} | {"fields": dict(line.fields)} for line in lines]
        if rows:
            with self._database.transaction() as connection:
                connection.execute(_add, rows)

    def lines(self, turn_id: TurnId, *, after: int = 0, limit: int = 500) -> Sequence[TurnLogLine]:
        with self._database.read() as connection:
            found = connection.execute(_lines, {"turn": turn_id, "after": after, "limit": limit})
            return [TurnLogLine(**row) for row in found.mappings()]

    def erase_older_than(self, seconds: float) -> None:
        with self._database.transaction() as connection:
            connection.execute(_older_lines, {"age": seconds})
            connection.execute(_older_watches, {"age": seconds})
