"""What SQLAlchemy has for each kind of database, loaded for the kind that is used: PostgreSQL's takes 3 MB."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy.engine import Dialect

T = TypeVar("T")
Insert = Callable[..., Any]
"""The construct of an INSERT that may have ON CONFLICT."""


class PerDialect(Generic[T]):
    """Statements by kind of database, built when they are needed first."""

    def __init__(self, build: Callable[[str], T]) -> None:
        self._build = cache(build)

    def __getitem__(self, kind: str) -> T:
        return self._build(kind)


def insert_of(kind: str) -> Insert:
    if kind == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # see above

        return postgresql.insert
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415

    return sqlite.insert


@cache
def driver_dialect(kind: str) -> Dialect:
    """Returns the dialect of statements whose parameters are given by position."""
    if kind == "postgresql":
        from sqlalchemy.dialects.postgresql import psycopg  # noqa: PLC0415  # see above

        return psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415

    return sqlite.dialect()
