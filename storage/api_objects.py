"""ApiObjects on SQLAlchemy: what OpenAI's API keeps beside the turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, or_, select, update

from gateway.domain.errors import Conflict
from gateway.domain.models import ConversationKey, TurnId
from gateway.ports.api_objects import ApiObject, NewestMessages, ThreadMessages, ThreadState
from storage import row_mapping, sql
from storage.api_threads import NO_LIMIT, OBJECT, THREAD, O, SqlThreadReader, get_object, to_object
from storage.clock import clock, read_clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.sql import C, T
from storage.tables.column_types import SafeText, storable
from storage.tables.program_tables import api_objects
from storage.tables.schema import conversations, turns

ASSISTANT, MESSAGE = "assistant", "message"
ORDER = (O.position, O.created_at, O.id)

_id = bindparam("name", type_=SafeText)
_get_several = select(*OBJECT).where(O.id.in_(bindparam("names", expanding=True)))
_newest_request = (
    select(O.request)
    .where(O.request >= bindparam("first", type_=SafeText), O.request <= bindparam("last", type_=SafeText))
    .order_by(O.request.desc())
    .limit(1)
)
_of_request = select(*OBJECT).where(O.request == bindparam("made_by", type_=SafeText)).order_by(*ORDER)
_of_owner = (
    select(*OBJECT).where(O.owner == bindparam("of", type_=SafeText), O.kind == bindparam("sort")).order_by(*ORDER)
)
_of_parent = (
    select(*OBJECT)
    .where(O.parent == bindparam("within", type_=SafeText))
    .where(O.turns >= bindparam("since"), O.turns <= bindparam("until"))
    .order_by(O.position.desc())
    .limit(bindparam("most"))
)
_replace = update(api_objects).where(O.id == _id).values(body=bindparam("content", type_=SafeText))
_delete = delete(api_objects).where(or_(O.id == _id, O.parent == _id))
_conversation = C.id == bindparam("conversation")
_delete_messages = delete(api_objects).where(
    O.kind == MESSAGE,
    O.parent == select(C.channel).where(_conversation).scalar_subquery(),
    O.owner == select(C.workspace).where(_conversation).scalar_subquery(),
)
_take_places = (
    update(api_objects)
    .where(O.id == _id, O.owner == bindparam("of", type_=SafeText))
    .values(tail=O.tail + bindparam("count"))
    .returning(O.tail)
)
_turns_of = select(C.id, C.head, C.tail).where(sql.IS_KEY)
_state_of = select(T.state).where(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"))
_address_of = select(T.address).where(T.id == bindparam("turn"), T.erased_at.is_(None)).with_for_update()
_set_address = update(turns).where(T.id == bindparam("turn")).values(address=bindparam("known", type_=T.address.type))
_ownerless = (O.owner == "", O.kind.in_((THREAD, ASSISTANT)))
_count_objects = select(func.count()).where(*_ownerless)
_ownerless_conversation = (C.workspace == "", C.platform == bindparam("on"))
_count_conversations = (
    select(func.count())
    .where(*_ownerless_conversation)
    .where(C.channel.not_in(select(O.id).where(O.owner == "", O.kind == THREAD)))
)
_assign = update(api_objects).where(O.owner == "").values(owner=bindparam("to", type_=SafeText))
_assign_conversations = (
    update(conversations)
    .where(*_ownerless_conversation, C.next_at.is_(None))
    .values(workspace=bindparam("to", type_=SafeText))
)
_erase_old = delete(api_objects).where(
    O.kind == MESSAGE, O.created_at < clock() - bindparam("seconds", type_=O.created_at.type)
)
INSERTS: Final = PerDialect(lambda kind: insert_of(kind)(api_objects).on_conflict_do_nothing().inline())


class SqlApiObjects:
    """Implements ApiObjects for the conversations of one platform."""

    def __init__(self, database: Database, platform: str) -> None:
        self._database = database
        self._platform = platform
        self._threads = SqlThreadReader(database)

    # ---------------------------------------------------------------- making

    def add(self, objects: Sequence[ApiObject]) -> Sequence[ApiObject]:
        with self._database.transaction() as connection:
            _insert(connection, objects)
            return _fetch(connection, objects)

    def add_messages(
        self, thread: ApiObject, messages: Sequence[ApiObject], *, opens: bool = False
    ) -> Sequence[ApiObject] | None:
        with self._database.transaction() as connection:
            parameters = {"name": thread.id, "of": thread.owner, "count": len(messages)}
            if opens:
                _insert(connection, [thread])
            tail = connection.execute(_take_places, parameters).scalar()
            turns = self._resolved_turns(connection, thread)
            if tail is None:
                if turns == 0:
                    return None
                _insert(connection, [thread])
                tail = connection.execute(_take_places, parameters).scalar()
                if tail is None:  # the id is another owner's
                    return None
            first = tail - len(messages) + 1
            placed = [replace(each, position=place, turns=turns) for place, each in enumerate(messages, start=first)]
            _insert(connection, placed)
            return _fetch(connection, placed)

    def _resolved_turns(self, connection: Connection, thread: ApiObject) -> int:
        """Returns how many turns a thread has. Raises Conflict if the newest one is unresolved."""
        found = connection.execute(_turns_of, self._key(thread.owner, thread.id)).first()
        if found is None:
            return 0
        conversation, head, tail = found
        if head < tail:
            state = connection.execute(_state_of, {"conversation": conversation, "place": tail}).scalar()
            if state is None or not state.is_resolved:
                raise Conflict("The conversation has an unresolved turn.", code="conversation_busy")
        return int(tail)

    # ---------------------------------------------------------------- reading

    def get(self, object_id: str) -> ApiObject | None:
        with self._database.read() as connection:
            row = connection.execute(get_object, {"name": object_id}).first()
        return None if row is None else to_object(row)

    def find_by_request(self, first: str, last: str) -> Sequence[ApiObject]:
        with self._database.read() as connection:
            request = connection.execute(_newest_request, {"first": first, "last": last}).scalar()
            return [] if request is None else [*map(to_object, connection.execute(_of_request, {"made_by": request}))]

    def list_of_owner(self, owner: str, kind: str) -> Sequence[ApiObject]:
        with self._database.read() as connection:
            return [*map(to_object, connection.execute(_of_owner, {"of": owner, "sort": kind}))]

    def list_of_parent(
        self, parent: str, *, turns_from: int = 0, turns_to: int | None = None, newest: int | None = None
    ) -> Sequence[ApiObject]:
        parameters = {
            "within": parent,
            "since": turns_from,
            "until": NO_LIMIT if turns_to is None else turns_to,
            "most": NO_LIMIT if newest is None else newest,
        }
        with self._database.read() as connection:
            return [*map(to_object, connection.execute(_of_parent, parameters))][::-1]

    def thread_states(self, keys: Sequence[ConversationKey]) -> Sequence[ThreadState]:
        return self._threads.states(keys)

    def newest_messages(self, asked: Sequence[NewestMessages]) -> Sequence[ThreadMessages]:
        return self._threads.newest_messages(asked)

    # ---------------------------------------------------------------- changing

    def replace_body(self, object_id: str, body: Mapping[str, Any]) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(_replace, {"name": object_id, "content": _json(body)}).rowcount > 0

    def set_address(self, turn_id: TurnId, name: str, value: str) -> None:
        with self._database.transaction() as connection:
            row = connection.execute(_address_of, {"turn": turn_id}).first()
            if row is not None:
                connection.execute(_set_address, {"turn": turn_id, "known": {**row[0], name: value}})

    def delete(self, object_id: str) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(_delete, {"name": object_id}).rowcount > 0

    def count_ownerless(self) -> int:
        with self._database.read() as connection:
            return self._count_ownerless(connection)

    def assign_ownerless(self, owner: str) -> int:
        with self._database.transaction() as connection:
            found = self._count_ownerless(connection)
            connection.execute(_assign_conversations, {"on": self._platform, "to": owner})
            connection.execute(_assign, {"to": owner})
            return found

    def erase_older_than(self, age_seconds: float) -> int:
        with self._database.single_write() as connection:
            return connection.execute(_erase_old, {"seconds": age_seconds}).rowcount

    def _count_ownerless(self, connection: Connection) -> int:
        objects: int = connection.execute(_count_objects).scalar_one()
        others: int = connection.execute(_count_conversations, {"on": self._platform}).scalar_one()
        return objects + others

    def _key(self, owner: str, thread_id: str) -> dict[str, str]:
        return row_mapping.key_columns(ConversationKey(self._platform, owner, thread_id), "key_")


def delete_messages_of(connection: Connection, conversation_id: int) -> None:
    """Deletes what a program added to a conversation that is being deleted."""
    connection.execute(_delete_messages, {"conversation": conversation_id})


def _insert(connection: Connection, objects: Sequence[ApiObject]) -> None:
    now: float = connection.execute(read_clock).scalar_one()
    rows = [
        {
            "id": each.id,
            "kind": each.kind,
            "owner": each.owner,
            "parent": each.parent,
            "position": each.position,
            "tail": 0,
            "turns": each.turns,
            "request": each.request,
            "body": _json(each.body),
            "created_at": each.created_at or now,
        }
        for each in objects
    ]
    connection.execute(INSERTS[connection.dialect.name], rows)


def _fetch(connection: Connection, objects: Sequence[ApiObject]) -> Sequence[ApiObject]:
    found = connection.execute(_get_several, {"names": [storable(each.id) for each in objects]})
    stored = {each.id: each for each in map(to_object, found)}
    return [stored[each.id] for each in objects]


def _json(body: Mapping[str, Any]) -> str:
    # ASCII, so that every database stores it; NUL is no character of PostgreSQL's JSON functions either.
    return json.dumps(dict(body)).replace("\\u0000", "\\ufffd")
