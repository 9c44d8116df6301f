"""UnparsedUpdates on SQLAlchemy, with the move of such updates from ``facts``, where earlier versions stored them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, or_, select

from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdateCount
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.sql import on_platform
from storage.tables.schema import facts, unparsed_updates

U = unparsed_updates.c

OLD_NAME: Final = re.compile(r"([a-z]+):([^:]+):aside:([^:]+)")
"""The name of an update in ``facts``, in versions before revision 0005: platform, bot and update id."""
ESCAPE: Final = "/"
WILDCARDS: Final = re.compile(r"[/%_]")
"""Characters with a meaning in LIKE."""
OLD_NAMES: Final = "%:aside:%"
"""Of those that a process of such a version has stored since the last move."""

UPDATE = (U.platform, U.workspace, U.update_id, U.body, U.author, U.channel, U.error, U.received_at)

_of_person = (
    select(*UPDATE)
    .where(on_platform(U.platform))
    .where(or_(U.author == bindparam("person"), U.body.contains(bindparam("needle"), escape=ESCAPE)))
    .order_by(U.received_at, U.workspace, U.update_id)
)
_erase_one = delete(unparsed_updates).where(
    U.platform == bindparam("on"), U.workspace == bindparam("within"), U.update_id == bindparam("update")
)
_erase_old = delete(unparsed_updates).where(U.received_at < clock() - bindparam("seconds", type_=U.received_at.type))
_count = select(func.count(), func.max(U.received_at)).where(U.platform == bindparam("on"))
_count_old = select(func.count()).where(facts.c.name.like(bindparam("names")))
_take_old = delete(facts).where(facts.c.name.like(OLD_NAMES)).returning(facts.c.name, facts.c.value)


def _insert(kind: str) -> Any:
    return insert_of(kind)(unparsed_updates).values(received_at=clock()).on_conflict_do_nothing().inline()


INSERTS: Final = PerDialect(_insert)


class SqlUnparsedUpdates:
    """Implements UnparsedUpdates."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, update: UnparsedUpdate) -> None:
        with self._database.single_write() as connection:
            connection.execute(INSERTS[connection.dialect.name], _values(update))

    def count(self, platform: str) -> UnparsedUpdateCount:
        with self._database.read() as connection:
            number, newest = connection.execute(_count, {"on": platform}).one()
            old = connection.execute(_count_old, {"names": f"{platform}:{OLD_NAMES}"}).scalar_one()
        return UnparsedUpdateCount(number + old, newest)

    def by_author(self, platform: str, author: str) -> Sequence[UnparsedUpdate]:
        with self._transaction() as connection:
            found = list(_updates_of(connection, platform, author))
        return [update for update in found if update.author in (author, "")]

    def erase_author(self, platform: str, author: str) -> int:
        with self._transaction() as connection:
            found = list(_updates_of(connection, platform, author))
            for update in found:
                place = {"on": update.platform, "within": update.workspace, "update": update.update_id}
                connection.execute(_erase_one, place)
        return len(found)

    def erase_older_than(self, age_seconds: float) -> int:
        with self._transaction() as connection:
            return connection.execute(_erase_old, {"seconds": age_seconds}).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Opens a transaction that sees every update, also those that a process of an earlier version stored since the
        migration.
        """
        with self._database.transaction() as connection:
            _move_from_facts(connection)
            yield connection


def _move_from_facts(connection: Connection) -> None:
    """Moves the updates that earlier versions stored in ``facts``. Their age is not known: it counts from now.

    Revision 0005 does the same. Their author is not looked for: ``erase_author`` finds a person's id in the body.
    """
    for name, body in connection.execute(_take_old).all():
        found = OLD_NAME.fullmatch(name)
        # With another name it is not an update; the id then stays unique, and the content is erased like an update's.
        platform, workspace, update_id = found.groups() if found else (name.partition(":")[0], "", name)
        update = UnparsedUpdate(platform, workspace, update_id, body)
        connection.execute(INSERTS[connection.dialect.name], _values(update))


def _values(update: UnparsedUpdate) -> dict[str, str]:
    return {
        "platform": update.platform,
        "workspace": update.workspace,
        "update_id": update.update_id,
        "body": update.body,
        "author": update.author,
        "channel": update.channel,
        "error": update.error,
    }


def _updates_of(connection: Connection, platform: str, author: str) -> Iterator[UnparsedUpdate]:
    """Yields the updates with this author, or with the person's id in the body."""
    # As json.dumps wrote it into the body.
    needle = WILDCARDS.sub(rf"{ESCAPE}\g<0>", json.dumps(author)[1:-1])
    for row in connection.execute(_of_person, {"on": platform, "person": author, "needle": needle}):
        update = UnparsedUpdate(*row)
        if update.author == author or _contains_id(update.body, author):
            yield update


def _contains_id(body: str, person: str) -> bool:
    """Returns whether a string, a number or a name in the JSON is the id; also True if the body cannot be read."""
    try:
        rest = [json.loads(body)]
    except (ValueError, RecursionError):
        return True
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, str | int) and str(value) == person:
            return True
    return False
