"""ToolFiles on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import LargeBinary, bindparam, literal, select

from gateway.domain.files import File
from gateway.domain.models import TurnId
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.tables.column_types import SafeText
from storage.tables.schema import tool_files, turns

F = tool_files.c

_of_turn = select(F.name, F.reference, F.media_type, F.size).where(F.turn_id == bindparam("turn")).order_by(F.kept_at)
_content = select(F.content).where(F.reference == bindparam("wanted"))


def _insert(kind: str) -> Any:
    values = (bindparam(name, type_=SafeText) for name in ("reference", "turn", "name", "media_type"))
    size, content = bindparam("size", type_=F.size.type), bindparam("content", type_=LargeBinary)
    is_kept = select(literal(1)).where(turns.c.id == bindparam("turn"), turns.c.erased_at.is_(None)).exists()
    columns = ["reference", "turn_id", "name", "media_type", "size", "content", "kept_at"]
    return (
        insert_of(kind)(tool_files)
        .from_select(columns, select(*values, size, content, clock()).where(is_kept))
        .on_conflict_do_nothing()
    )


INSERTS: Final = PerDialect(_insert)


class SqlToolFiles:
    """Implements ToolFiles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, turn_id: TurnId, file: File, content: bytes) -> None:
        about = {"reference": file.reference, "turn": turn_id, "name": file.name, "media_type": file.media_type}
        with self._database.single_write() as connection:
            connection.execute(INSERTS[connection.dialect.name], {**about, "size": len(content), "content": content})

    def of_turn(self, turn_id: TurnId) -> Sequence[File]:
        with self._database.read() as connection:
            return [File(*row) for row in connection.execute(_of_turn, {"turn": turn_id})]

    def content(self, reference: str) -> bytes | None:
        with self._database.read() as connection:
            found: bytes | None = connection.execute(_content, {"wanted": reference}).scalar()
            return found
