"""Reads threads of OpenAI's API, by few statements of the driver itself: programs ask for them again and again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Text, and_, bindparam, or_, select, type_coerce

from gateway.domain.audit import AuditEvent
from gateway.domain.models import ConversationKey, Message, Turn
from gateway.json_text import decode_json
from gateway.ports.api_objects import ApiObject, NewestMessages, NewestTurn, ThreadMessages, ThreadState
from storage import row_mapping, sql
from storage.connecting.database import Database
from storage.driver_sql import Call, DriverStatement, Row, run_all
from storage.sql import C, T
from storage.tables.column_types import AuditLogJson, SafeText
from storage.tables.program_tables import api_objects
from storage.tables.schema import conversations, turns

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
TRAIL = type_coerce(T.trail, Text)
"""As it is stored: what a message shows of it is whether its reply was cut off, and nearly none was."""
SHOWN = (*NEWEST, T.conversation_id, T.seq, T.reply, T.made, TRAIL, T.started_at, T.answered_at, T.refusal)
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

    def __init__(self, database: Database) -> None:
        self._database = database

    def states(self, keys: Sequence[ConversationKey]) -> Sequence[ThreadState]:
        statements = _statements(self._database.kind)
        with self._database.driver_read() as cursor:
            calls = [Call(statements.state, row_mapping.key_columns(key, "key_")) for key in keys]
            found = [rows[0] if rows else None for rows in run_all(cursor, calls)]
            newest = [None if row is None else _newest_of(row) for row in found]
            after = [{"name": key.channel, "after": _taken(each)} for key, each in zip(keys, newest, strict=True)]
            objects = run_all(cursor, [Call(statements.pending, each) for each in after])
        return [*map(_to_state, keys, found, newest, objects)]

    def newest_messages(self, asked: Sequence[NewestMessages]) -> Sequence[ThreadMessages]:
        statements = _statements(self._database.kind)
        with self._database.driver_read() as cursor:
            ends = [{**row_mapping.key_columns(each.key, "key_"), "most": each.most_turns} for each in asked]
            found = run_all(cursor, [Call(statements.shown, each) for each in ends])
            turns = [
                [_to_turn(row, each.key) for row in reversed(rows)] for each, rows in zip(asked, found, strict=True)
            ]
            since = [
                {"name": each.key.channel, "since": known[0].seq - 1 if known else 0}
                for each, known in zip(asked, turns, strict=True)
            ]
            objects = run_all(cursor, [Call(statements.since, each) for each in since])
        return [*map(_to_messages, asked, turns, objects)]


def _to_state(key: ConversationKey, row: Row | None, newest: NewestTurn | None, objects: Sequence[Row]) -> ThreadState:
    thread, pending = _divided(objects, key)
    conversation = None if row is None else row_mapping.to_conversation(row)
    return ThreadState(thread, conversation, newest, pending if thread else [])


def _to_messages(asked: NewestMessages, turns: Sequence[Turn], objects: Sequence[Row]) -> ThreadMessages:
    thread, added = _divided(objects, asked.key)
    return ThreadMessages(thread, turns, added if thread or turns else [])


def _newest_of(row: Sequence[Any]) -> NewestTurn | None:
    """Reads a row of the statement ``state``; a conversation that was adopted has no turn yet."""
    newest = row[len(sql.CONVERSATION) :]
    return None if newest[0] is None else NewestTurn(*newest)


def _to_turn(row: Sequence[Any], key: ConversationKey) -> Turn:
    """Reads a row of SHOWN. What is not there is as in a new turn."""
    turn_id, state, address, received_at, conversation, seq, reply, files, trail, *rest = row
    started_at, answered_at, refusal = rest
    shows_trail = AuditEvent.CUT_OFF in trail
    return Turn(
        *(turn_id, conversation, seq, Message(key, "", "", address=address), state),
        reply=reply,
        reply_files=files,
        audit_log=AuditLogJson.from_sql(trail) if shows_trail else (),
        received_at=received_at,
        started_at=started_at,
        answered_at=answered_at,
        refusal=refusal or "",
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
