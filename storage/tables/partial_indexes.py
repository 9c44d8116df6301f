"""Indexes of a part of a table's rows, declared beside the tables and built where these are compared with a database.

SQLAlchemy loads PostgreSQL's dialect, 3 MB, as soon as an ``Index`` names one of its options. Statements need none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy import Column, ColumnElement, Index

_declared: list[Callable[[], Index]] = []


def partial_index(name: str, *columns: Column[object], where: ColumnElement[bool]) -> None:
    """Declares an index of the rows for which ``where`` is true."""
    _declared.append(partial(Index, name, *columns, sqlite_where=where, postgresql_where=where))


def build_partial_indexes() -> None:
    """Adds the declared indexes to their tables."""
    while _declared:
        _declared.pop()()
