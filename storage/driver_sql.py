"""Statements of the hot path: built by SQLAlchemy and compiled once, executed by the driver itself.

SQLAlchemy's own execution takes several times as long as most of these statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine import Dialect

DIALECTS: Mapping[str, Dialect] = {
    "sqlite": sqlite.dialect(),
    # Parameters by position, as for SQLite.
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


class DriverStatement:
    """A statement for one kind of database. psycopg prepares it at the server once it has run a few times.

    Rows come as the driver returns them: the result types of the columns are not applied.
    """

    def __init__(self, statement: ClauseElement, kind: str, columns: Sequence[str] | None = None) -> None:
        """``columns``: of an INSERT, if it has no values yet."""
        dialect = DIALECTS[kind]
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.text = str(compiled)
        names: Sequence[str] = compiled.positiontup or ()  # type: ignore[attr-defined]  # of an SQLCompiler
        self._binds = [(name, _processor(compiled, name, dialect)) for name in names]
        self._many_return_rows = kind == "postgresql"

    def row(self, parameters: Parameters) -> Row:
        """Returns the parameters in the order of the statement, as the driver takes them."""
        return tuple([parameters[name] if to_sql is None else to_sql(parameters[name]) for name, to_sql in self._binds])

    def execute(self, cursor: Any, parameters: Parameters) -> Any:
        """Returns the driver's cursor, with its rows."""
        return cursor.execute(self.text, self.row(parameters))

    def execute_all(self, cursor: Any, parameters: Iterable[Parameters]) -> int:
        """Executes the statement with each of these; returns how many rows were changed. psycopg pipelines them."""
        cursor.executemany(self.text, [self.row(each) for each in parameters])
        changed: int = cursor.rowcount
        return changed

    def fetch_each(self, cursor: Any, parameters: Iterable[Parameters]) -> list[Row | None]:
        """Executes the statement with each of these; returns the first row of each, None where there is none."""
        rows = [self.row(each) for each in parameters]
        if not self._many_return_rows:
            return [cursor.execute(self.text, row).fetchone() for row in rows]
        cursor.executemany(self.text, rows, returning=True)
        return [result.fetchone() for result in cursor.results()]


def _processor(compiled: Any, name: str, dialect: Dialect) -> Callable[[Any], Any] | None:
    convert: Callable[[Any], Any] | None = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
    return convert
