"""The database's time, which all processes share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class clock(FunctionElement[float]):  # noqa: N801  # named like an SQL function
    """The database's time, in seconds since the epoch."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    # Not now(): it does not advance within a transaction, such as while it waits for a lock.
    return "date_part('epoch', clock_timestamp())"


read_clock = select(clock())


def seconds_from_now(seconds: str) -> ColumnElement[float]:
    """Returns the time so many seconds from now; NULL when the parameter is NULL."""
    return clock() + bindparam(seconds, type_=Double)
