"""Statements of the hot path: built by SQLAlchemy and compiled once, executed by the driver itself.

SQLAlchemy's own execution takes several times as long as most of these statements. The driver prepares a statement once
for each connection: sqlite3 keeps the last 128, psycopg those that it ran five times
(https://docs.python.org/3/library/sqlite3.html#sqlite3.connect, https://www.psycopg.org/psycopg3/docs/advanced/prepare.html).
Used in ``Database.driver_transaction``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import SelectBase
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from storage.dialects import driver_dialect
from storage.tables.column_types import SafeText, is_storable

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]
Conversion = Callable[[Any], Any]


class DriverStatement:
    """A statement for one kind of database.

    Rows come as the driver returns them, but for ``results``, which applies the types of the columns.
    """

    def __init__(self, statement: SelectBase | UpdateBase, kind: str, columns: Sequence[str] | None = None) -> None:
        """``columns``: of an INSERT, if it has no values yet."""
        dialect = driver_dialect(kind)
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.text = str(compiled)
        names: Sequence[str] = compiled.positiontup or ()
        self._names = names
        self._to_sql = _by_index(_processor(compiled, name, dialect) for name in names)
        self._texts = [index for index, name in enumerate(names) if isinstance(compiled.binds[name].type, SafeText)]
        self._constants = {name: compiled.binds[name].value for name in names if not compiled.binds[name].required}
        self._returns_rows = len(statement.exported_columns) > 0
        self._from_sql = _by_index(_result_processor(column.type, dialect) for column in statement.exported_columns)
        self.pipelined = kind == "postgresql"
        """Whether several statements can be sent before the first one is answered."""

    def row(self, parameters: Parameters) -> Row:
        """Returns the parameters in the order of the statement, as the driver takes them."""
        values = {**self._constants, **parameters} if self._constants else parameters
        row = list(map(values.__getitem__, self._names))
        for index, convert in self._to_sql:
            row[index] = convert(row[index])
        # All texts at once: nearly all of them are storable, and they are half of what the statements take.
        if not is_storable("".join(filter(None, map(row.__getitem__, self._texts)))):
            for index in self._texts:
                row[index] = SafeText.to_sql(row[index])
        return tuple(row)

    def results(self, cursor: Any) -> list[Row]:
        """Returns the rows of an execution, with the values that the column types stand for.

        Of a statement that returns none, as many empty rows as it has changed: RETURNING takes SQLite as long as the
        UPDATE of a row.
        """
        if not self._returns_rows:
            return [()] * cursor.rowcount
        rows: list[Row] = cursor.fetchall()
        return [self._result(row) for row in rows] if self._from_sql else rows

    def _result(self, row: Row) -> Row:
        values = list(row)
        for index, convert in self._from_sql:
            values[index] = convert(values[index])
        return tuple(values)

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
        if not self.pipelined:
            return [cursor.execute(self.text, row).fetchone() for row in rows]
        cursor.executemany(self.text, rows, returning=True)
        return [result.fetchone() for result in cursor.results()]


@dataclass(frozen=True, slots=True)
class Call:
    """One execution of a statement."""

    statement: DriverStatement
    parameters: Parameters


def run_all(cursor: Any, calls: Sequence[Call]) -> list[list[Row]]:
    """Executes statements in order; returns the ``results`` of each.

    PostgreSQL gets them all at once and answers them all at once.
    """
    if not (calls and calls[0].statement.pipelined):
        return [call.statement.results(call.statement.execute(cursor, call.parameters)) for call in calls]
    connection = cursor.connection
    with connection.pipeline():
        cursors = [call.statement.execute(connection.cursor(), call.parameters) for call in calls]
    return [call.statement.results(each) for call, each in zip(calls, cursors, strict=True)]


def _by_index(conversions: Iterable[Conversion | None]) -> list[tuple[int, Conversion]]:
    """Returns what there is to do with a row, by the indexes of the values that are not taken as they are."""
    return [(index, convert) for index, convert in enumerate(conversions) if convert is not None]


def _processor(compiled: Any, name: str, dialect: Dialect) -> Conversion | None:
    """Returns what a type does with a value; None for texts, see ``DriverStatement.row``."""
    kind = compiled.binds[name].type
    if isinstance(kind, SafeText):
        return None
    convert: Conversion | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return convert


def _result_processor(kind: TypeEngine[Any], dialect: Dialect) -> Conversion | None:
    """Returns what a column type of ours does with a value. The drivers return all other types as they are."""
    if not isinstance(kind, TypeDecorator):
        return None
    convert: Conversion | None = kind.dialect_impl(dialect).result_processor(dialect, None)
    return convert
