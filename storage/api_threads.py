"""Reads threads of OpenAI's API, by few statements of the driver itself: programs ask for them again and again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, or_, select

from gateway.domain.models import ConversationKey, Message, Turn
from gateway.json_text import decode_json
from gateway.ports.api_objects import ApiObject, NewestTurn, ThreadMessages, ThreadState
from storage import row_mapping, sql
from storage.column_types import SafeText
from storage.database import Database
from storage.driver_sql import Call, DriverStatement, Parameters, Row, run_all
from storage.program_tables import api_objects
from storage.schema import conversations, turns
from storage.sql import C, T

O = api_objects.c  # noqa: E741  # as the other tables are called by their first letter
OBJECT = (O.id, O.kind, O.owner, O.body, O.parent, O.request, O.position, O.turns, O.created_at)
THREAD = "thread"
NO_LIMIT = 2**31 - 1

_name = bindparam("name", type_=SafeText)
get_object = select(*OBJECT).where(O.id == _name)
_pending = or_(O.id == _name, and_(O.parent == _name, O.position > bindparam("after")))
_since = or_(O.id == _name, and_(O.parent == _name, O.turns >= bindparam("since")))
"""A thread, which is in no other, and some of what is in it."""
NEWEST = (T.id, T.state, T.address, T.received_at)
SHOWN = (*NEWEST, T.conversation_id, T.seq, T.reply, T.made, T.trail, T.started_at, T.answered_at)
"""What a message shows of its turn. A quarter of the columns take a quarter of the time."""


_conversation = select(C.id).where(sql.IS_KEY).scalar_subquery()
_shown = select(*SHOWN).where(T.conversation_id == _conversation).order_by(T.seq.desc()).limit(bindparam("most"))
_state = (
    select(*sql.CONVERSATION, *NEWEST)
    .select_from(conversations.outerjoin(turns, and_(T.conversation_id == C.id, T.seq == C.tail)))
    .where(sql.IS_KEY)
)
"""A conversation with its newest turn."""


class _Statements:
    def __init__(self, kind: str) -> None:
        self.state = DriverStatement(_state, kind)
        self.shown = DriverStatement(_shown, kind)
        self.pending = DriverStatement(select(*OBJECT).where(_pending).order_by(O.position), kind)
        self.since = DriverStatement(select(*OBJECT).where(_since).order_by(O.position), kind)


_statements = cache(_Statements)


class SqlThreadReader:
    """Implements the reading of threads of ApiObjects."""

    def __init__(self, database: Database, platform: str) -> None:
        self._database = database
        self._platform = platform

    def state(self, owner: str, thread_id: str) -> ThreadState:
        key, statements = self._key(owner, thread_id), _statements(self._database.kind)
        with self._database.driver_read() as cursor:
            found = _rows(cursor, statements.state, row_mapping.key_columns(key, "key_"))
            newest = _newest_of(found[0]) if found else None
            after = {"name": thread_id, "after": _taken(newest)}
            thread, pending = _divided(_rows(cursor, statements.pending, after), key)
        conversation = row_mapping.to_conversation(found[0]) if found else None
        return ThreadState(thread, conversation, newest, pending if thread else [])

    def newest_messages(self, owner: str, thread_id: str, most_turns: int) -> ThreadMessages:
        key, statements = self._key(owner, thread_id), _statements(self._database.kind)
        with self._database.driver_read() as cursor:
            asked = {**row_mapping.key_columns(key, "key_"), "most": most_turns}
            known = [_to_turn(row, key) for row in reversed(_rows(cursor, statements.shown, asked))]
            since = {"name": thread_id, "since": known[0].seq - 1 if known else 0}
            thread, added = _divided(_rows(cursor, statements.since, since), key)
        return ThreadMessages(thread, known, added if thread or known else [])

    def _key(self, owner: str, thread_id: str) -> ConversationKey:
        return ConversationKey(self._platform, owner, thread_id)


def _rows(cursor: Any, statement: DriverStatement, parameters: Parameters) -> list[Row]:
    (found,) = run_all(cursor, [Call(statement, parameters)])
    return found


def _newest_of(row: Sequence[Any]) -> NewestTurn | None:
    """Reads a row of the statement ``state``; a conversation that was adopted has no turn yet."""
    newest = row[len(sql.CONVERSATION) :]
    return None if newest[0] is None else NewestTurn(*newest)


def _to_turn(row: Sequence[Any], key: ConversationKey) -> Turn:
    """Reads a row of SHOWN. What is not there is as in a new turn."""
    turn_id, state, address, received_at, conversation, seq, reply, files, trail, started_at, answered_at = row
    return Turn(
        *(turn_id, conversation, seq, Message(key, "", "", address=address), state),
        reply=reply,
        reply_files=files,
        audit_log=trail,
        received_at=received_at,
        started_at=started_at,
        answered_at=answered_at,
    )


def to_object(row: Sequence[Any]) -> ApiObject:
    """Reads a row of OBJECT."""
    identity, kind, owner, body, *rest = row
    return ApiObject(identity, kind, owner, decode_json(body), *rest)


def _divided(rows: Sequence[Row], key: ConversationKey) -> tuple[ApiObject | None, Sequence[ApiObject]]:
    """Returns the thread, if its owner has it, and what is in it."""
    found = [*map(to_object, rows)]
    threads = (each for each in found if (each.id, each.kind, each.owner) == (key.channel, THREAD, key.workspace))
    return next(threads, None), [each for each in found if each.parent == key.channel]


def _taken(newest: NewestTurn | None) -> int:
    """Returns the place of the last message that a turn took; the last one there can be if that is erased with it."""
    if newest is None:
        return 0
    return int(newest.address.get("taken", NO_LIMIT))
