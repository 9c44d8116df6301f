"""Blocks of people on SQLAlchemy."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, select, update

from gateway.ports.blocks import Block
from gateway.ports.people import PersonId
from storage import sql
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.people import is_person, person_parameters
from storage.tables.column_types import SafeText
from storage.tables.operator_tables import blocks
from storage.upserts import UPSERTS

B = blocks.c
VERSION_NAME = "blocks:version"
"""The name of the stored value that changes with each block."""

BLOCK = (B.platform, B.user_id, B.actor, B.reason, B.blocked_at, B.told_at, B.refused, B.refused_at)
_is_person = is_person(blocks)
_get = select(*BLOCK).where(_is_person)
_listed = select(*BLOCK).order_by(B.blocked_at.desc(), B.platform.desc(), B.user_id.desc())
_remove = delete(blocks).where(_is_person).execution_options(preserve_rowcount=True)
_tell = (
    update(blocks)
    .where(_is_person, B.told_at.is_(None))
    .values(told_at=clock())
    .execution_options(preserve_rowcount=True)
)
_count = (
    update(blocks).where(_is_person).values(refused=B.refused + bindparam("more", type_=Integer), refused_at=clock())
)


def _insert(kind: str) -> Any:
    values = {name: bindparam(name, type_=SafeText) for name in ("platform", "user_id", "actor", "reason")}
    statement = insert_of(kind)(blocks).values(**values, blocked_at=clock(), refused=0).on_conflict_do_nothing()
    return statement.execution_options(preserve_rowcount=True)


INSERTS = PerDialect(_insert)


class SqlBlocks:
    """Implements Blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._set_value = UPSERTS[database.kind].set_value

    def add(self, person: PersonId, actor: str, reason: str = "") -> bool:
        row = {"platform": person.platform, "user_id": person.user, "actor": actor, "reason": reason}
        with self._database.transaction() as connection:
            is_new = connection.execute(INSERTS[self._database.kind], row).rowcount > 0
            self._change_version(connection)
            return is_new

    def remove(self, person: PersonId) -> bool:
        with self._database.transaction() as connection:
            existed = connection.execute(_remove, person_parameters(person)).rowcount > 0
            self._change_version(connection)
            return existed

    def _change_version(self, connection: Connection) -> None:
        connection.execute(self._set_value, {"name": VERSION_NAME, "value": secrets.token_hex(8)})

    def get(self, person: PersonId) -> Block | None:
        with self._database.read() as connection:
            row = connection.execute(_get, person_parameters(person)).first()
            return None if row is None else _to_block(row)

    def listed(self) -> Sequence[Block]:
        with self._database.read() as connection:
            return [_to_block(row) for row in connection.execute(_listed)]

    def version(self) -> str:
        with self._database.read() as connection:
            return connection.execute(sql.get_value, {"fact": VERSION_NAME}).scalar() or ""

    def try_tell(self, person: PersonId) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(_tell, person_parameters(person)).rowcount > 0

    def count_refused(self, counts: Mapping[PersonId, int]) -> None:
        # In one order, so that two processes which count the same people do not deadlock.
        rows = [person_parameters(person) | {"more": counts[person]} for person in sorted(counts, key=str)]
        if rows:
            with self._database.transaction() as connection:
                connection.execute(_count, rows)


def _to_block(row: Sequence[Any]) -> Block:
    return Block(PersonId(row[0], row[1]), *row[2:])
