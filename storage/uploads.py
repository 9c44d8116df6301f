"""Uploads on SQLAlchemy."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, tuple_

from storage.clock import clock
from storage.connecting.database import Database
from storage.tables.schema import joined_messages, turns, uploads

U = uploads.c
T = turns.c
J = joined_messages.c

_insert = insert(uploads).values(received_at=clock())
_read = select(U.piece).where(U.upload_id == bindparam("upload"), U.seq == bindparam("place"))
_delete = delete(uploads).where(U.upload_id == bindparam("upload"))


class SqlUploads:
    """Implements Uploads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, upload_id: str, seq: int, piece: bytes, *, platform: str, message_id: str) -> None:
        row = {"upload_id": upload_id, "seq": seq, "piece": piece, "platform": platform, "message_id": message_id}
        with self._database.single_write() as connection:
            connection.execute(_insert, row)

    def read(self, upload_id: str, seq: int) -> bytes | None:
        with self._database.read() as connection:
            return connection.execute(_read, {"upload": upload_id, "place": seq}).scalar_one_or_none()

    def delete(self, upload_id: str) -> None:
        with self._database.single_write() as connection:
            connection.execute(_delete, {"upload": upload_id})


def delete_uploads_of(connection: Connection, which: ColumnElement[bool], parameters: dict[str, Any]) -> None:
    """Deletes the files of the turns that a condition names, in the transaction that erases or deletes them."""
    own = select(T.platform, T.message_id).where(which)
    joined = select(J.platform, J.message_id).join_from(joined_messages, turns, J.turn_id == T.id).where(which)
    of_messages = tuple_(U.platform, U.message_id).in_(own.union_all(joined))
    connection.execute(delete(uploads).where(of_messages), parameters)
