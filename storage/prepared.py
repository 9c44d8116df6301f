"""Statements that are compiled once and run by the driver, without SQLAlchemy's work for each call.

For the few statements that run several times a turn. Connections, transactions and errors stay SQLAlchemy's. The driver
prepares a statement once for each connection: sqlite3 keeps the last 128, psycopg those that it ran five times
(https://docs.python.org/3/library/sqlite3.html#sqlite3.connect, https://www.psycopg.org/psycopg3/docs/advanced/prepare.html).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeDecorator, TypeEngine

Row = Sequence[Any]
Conversion = Callable[[Any], Any] | None


class PreparedStatement:
    """A statement of SQLAlchemy's, as text for one driver, with the conversions of its column types."""

    def __init__(self, statement: Select[Any] | UpdateBase, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101  # it is no DDL
        self.text = str(compiled)
        self._defaults = compiled.params
        self._is_positional = compiled.positional
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._parameters = [
            (name, _conversion(binds[name].type, dialect, "bind_processor")) for name in (compiled.positiontup or binds)
        ]
        self._columns = [
            _conversion(column.type, dialect, "result_processor", None) for column in statement.exported_columns
        ]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Returns the values as the driver takes them; those that the statement itself contains need not be given."""
        known = {**self._defaults, **values}
        converted = [
            (name, known[name] if convert is None else convert(known[name])) for name, convert in self._parameters
        ]
        return tuple(value for _, value in converted) if self._is_positional else dict(converted)

    def row(self, values: Row) -> Row:
        """Returns a row of the driver's with the values that the column types stand for."""
        return [
            value if convert is None else convert(value) for value, convert in zip(values, self._columns, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Call:
    """One execution of a statement."""

    statement: PreparedStatement
    values: Mapping[str, Any]


def run_all(connection: Connection, calls: Sequence[Call]) -> list[list[Row]]:
    """Runs statements that return rows, in order, in the connection's transaction; returns the rows of each.

    PostgreSQL gets them all at once and answers them all at once. Raises DBAPIError, as SQLAlchemy does.
    """
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.driver_connection
    try:
        if connection.dialect.name == "sqlite":
            found = [_execute(driver, call).fetchall() for call in calls]
        else:
            with driver.pipeline():
                cursors = [_execute(driver, call) for call in calls]
                found = [cursor.fetchall() for cursor in cursors]
    except connection.dialect.loaded_dbapi.Error as exc:
        raise _as_sqlalchemy_error(connection, exc) from exc
    return [[call.statement.row(row) for row in rows] for call, rows in zip(calls, found, strict=True)]


def _execute(driver: Any, call: Call) -> Any:
    return driver.execute(call.statement.text, call.statement.parameters(call.values))


def _as_sqlalchemy_error(connection: Connection, exc: Exception) -> BaseException:
    """Returns the error that SQLAlchemy would raise. A connection that broke leaves the pool."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(exc, connection.connection.driver_connection, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(exc)
    return DBAPIError.instance(
        "a prepared statement",
        None,
        exc,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )


def _conversion(kind: TypeEngine[Any], dialect: Dialect, method: str, *args: Any) -> Conversion:
    """Returns what a column type of ours does with a value. The drivers take and give all other types as they are."""
    if not isinstance(kind, TypeDecorator):
        return None
    found: Conversion = getattr(kind.dialect_impl(dialect), method)(dialect, *args)
    return found
