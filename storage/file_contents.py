"""FileContents on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import bindparam, delete, insert, select

from storage.database import Database
from storage.schema import SafeText, file_contents
from storage.sql import clock

F = file_contents.c
MAX_AGE_SECONDS = 2 * 86400.0
"""Longer than a turn takes, with all that it may wait for."""

_insert = insert(file_contents).values(
    name=bindparam("file"), content=bindparam("data"), created_at=clock()
)  # fmt: skip
_load = select(F.content).where(F.name == bindparam("file", type_=SafeText))
_delete = delete(file_contents).where(F.name.in_(bindparam("files", expanding=True)))
_delete_old = delete(file_contents).where(F.created_at < clock() - MAX_AGE_SECONDS)


class SqlFileContents:
    """Implements FileContents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_files(self, contents: Mapping[str, bytes]) -> None:
        with self._database.transaction() as connection:
            connection.execute(_delete_old)
            connection.execute(_insert, [{"file": name, "data": data} for name, data in contents.items()])

    def load_file(self, name: str) -> bytes | None:
        with self._database.read() as connection:
            return cast("bytes | None", connection.execute(_load, {"file": name}).scalar())

    def delete_files(self, names: Sequence[str]) -> None:
        with self._database.transaction() as connection:
            connection.execute(_delete, {"files": list(names)})
