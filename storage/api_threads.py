"""Reads threads of OpenAI's API, by few statements of the driver itself: programs ask for them again and again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, select

from gateway.domain.models import ConversationKey, Message, Turn
from gateway.ports.api_objects import ApiObject, ThreadMessages, ThreadState
from storage import row_mapping, sql
from storage.column_types import SafeText
from storage.database import Database
from storage.driver_sql import Call, DriverStatement, Row, run_all
from storage.program_tables import api_objects
from storage.schema import conversations, turns
from storage.sql import C, T

O = api_objects.c  # noqa: E741  # as the other tables are called by their first letter
OBJECT = (O.id, O.kind, O.owner, O.body, O.parent, O.request, O.position, O.turns, O.created_at)
THREAD = "thread"

get_object = select(*OBJECT).where(O.id == bindparam("name", type_=SafeText))
_within = O.parent == bindparam("within", type_=SafeText)
_pending = select(*OBJECT).where(_within, O.position > bindparam("after")).order_by(O.position)
_since = select(*OBJECT).where(_within, O.turns >= bindparam("since")).order_by(O.position)
STATE = (T.id, T.conversation_id, T.seq, T.address, T.state, T.received_at)
SHOWN = (*STATE, T.reply, T.made, T.trail, T.started_at, T.answered_at)
"""What a message shows of its turn. A quarter of the columns take a quarter of the time."""
NOTHING_SHOWN = ("", (), (), None, None)


_conversation = select(C.id).where(sql.IS_KEY).scalar_subquery()
_shown = select(*SHOWN).where(T.conversation_id == _conversation).order_by(T.seq.desc()).limit(bindparam("most"))
_state = (
    select(*sql.CONVERSATION, *STATE)
    .select_from(conversations.outerjoin(turns, and_(T.conversation_id == C.id, T.seq == C.tail)))
    .where(sql.IS_KEY)
)
"""A conversation with its newest turn."""


class _Statements:
    """They have the same parameters, so that they can be sent together."""

    def __init__(self, kind: str) -> None:
        self.get = DriverStatement(get_object, kind)
        self.state = DriverStatement(_state, kind)
        self.shown = DriverStatement(_shown, kind)
        self.pending = DriverStatement(_pending, kind)
        self.since = DriverStatement(_since, kind)


_statements = cache(_Statements)


class SqlThreadReader:
    """Implements the reading of threads of ApiObjects."""

    def __init__(self, database: Database, platform: str) -> None:
        self._database = database
        self._platform = platform

    def state(self, owner: str, thread_id: str) -> ThreadState:
        key, statements = self._key(owner, thread_id), _statements(self._database.kind)
        named = _parameters(key, most=1)
        with self._database.driver_read() as cursor:
            rows, found = run_all(cursor, [Call(each, named) for each in (statements.get, statements.state)])
            thread = _thread_of(rows, owner)
            newest = _newest_of(found[0], key) if found else None
            after = _taken(newest) if thread else None
            pending: Sequence[Row] = ()
            if after is not None:
                (pending,) = run_all(cursor, [Call(statements.pending, {"within": thread_id, "after": after})])
        conversation = row_mapping.to_conversation(found[0]) if found else None
        return ThreadState(thread, conversation, newest, [*map(to_object, pending)])

    def newest_messages(self, owner: str, thread_id: str, most_turns: int) -> ThreadMessages:
        key, statements = self._key(owner, thread_id), _statements(self._database.kind)
        named = _parameters(key, most_turns)
        with self._database.driver_read() as cursor:
            rows, found = run_all(cursor, [Call(each, named) for each in (statements.get, statements.shown)])
            known = [_to_turn(row, key) for row in reversed(found)]
            thread = _thread_of(rows, owner)
            since = known[0].seq if known and known[0].seq > 1 else 0
            added: Sequence[Row] = ()
            if thread or known:
                (added,) = run_all(cursor, [Call(statements.since, {"within": thread_id, "since": since})])
        return ThreadMessages(thread, known, [*map(to_object, added)])

    def _key(self, owner: str, thread_id: str) -> ConversationKey:
        return ConversationKey(self._platform, owner, thread_id)


def _parameters(key: ConversationKey, most: int) -> Mapping[str, Any]:
    return {**row_mapping.key_columns(key, "key_"), "name": key.channel, "most": most}


def _newest_of(row: Sequence[Any], key: ConversationKey) -> Turn | None:
    """Reads a row of the statement ``state``; a conversation that was adopted has no turn yet."""
    newest = row[len(sql.CONVERSATION) :]
    return None if newest[0] is None else _to_turn(newest, key)


def _to_turn(row: Sequence[Any], key: ConversationKey) -> Turn:
    """Reads a row of STATE, or of SHOWN. What is not there is as in a new turn."""
    turn_id, conversation, seq, address, state, received_at, *shown = row
    reply, files, trail, started_at, answered_at = shown or NOTHING_SHOWN
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
    return ApiObject(identity, kind, owner, json.loads(body), *rest)


def _thread_of(rows: Sequence[Row], owner: str) -> ApiObject | None:
    found = to_object(rows[0]) if rows else None
    return found if found is not None and (found.kind, found.owner) == (THREAD, owner) else None


def _taken(newest: Turn | None) -> int | None:
    """Returns the place of the last message that a turn took; None if that is erased, with the message."""
    if newest is None:
        return 0
    taken = newest.message.address.get("taken")
    return None if taken is None else int(taken)
