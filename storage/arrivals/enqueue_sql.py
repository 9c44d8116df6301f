"""The statements for messages that arrive together, compiled once for each kind of database; see enqueueing.py."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ARRAY, Column, Select, and_, bindparam, func, select, update

from storage import row_mapping
from storage.clock import clock, read_clock
from storage.dialects import insert_of
from storage.driver_sql import DriverStatement
from storage.sql import IS_KEY, KEY
from storage.tables.column_types import SafeText
from storage.tables.schema import conversations, joined_messages, turns
from storage.upserts import UPSERTS

C = conversations.c
J = joined_messages.c
T = turns.c

OPEN_CONVERSATION = (
    *(*KEY, C.id, C.thread_id, C.backend, C.assistant, C.chosen),
    *(C.head, C.tail, C.owner, C.epoch, C.next_at, C.share, C.workspace_share, C.handover_seq, C.handed_over_at),
)
open_conversation = select(*OPEN_CONVERSATION).where(IS_KEY)
_wanted_keys = (
    func.unnest(*(bindparam(f"key_{column.name}", type_=ARRAY(SafeText)) for column in KEY))
    .table_valued(*(column.name for column in KEY), name="wanted")
    .render_derived()
)
lock_open_conversations = (
    select(*OPEN_CONVERSATION)
    .join(_wanted_keys, and_(*(column == _wanted_keys.c[column.name] for column in KEY)))
    .order_by(C.id)  # as every transaction that locks several conversations, so no two can deadlock
    .with_for_update(of=conversations, key_share=True)
)
message_exists = (
    select(T.platform, T.message_id)
    .where(T.platform == bindparam("on"), T.message_id == bindparam("message"))
    .union_all(
        select(J.platform, J.message_id).where(J.platform == bindparam("on"), J.message_id == bindparam("message"))
    )
)
"""Returns a row if the message is a turn, or joined one."""
_wanted_messages = (
    func.unnest(bindparam("on", type_=ARRAY(SafeText)), bindparam("message", type_=ARRAY(SafeText)))
    .table_valued("platform", "message_id", name="wanted")
    .render_derived()
)


def _wanted(platform: Column[str], message_id: Column[str]) -> Select[str, str]:
    same = and_(platform == _wanted_messages.c.platform, message_id == _wanted_messages.c.message_id)
    return select(platform, message_id).join(_wanted_messages, same)


messages_existing = _wanted(T.platform, T.message_id).union_all(_wanted(J.platform, J.message_id))
append_turns = (
    update(conversations)
    .where(C.id == bindparam("id_"))
    .values(tail=bindparam("last"), owner=bindparam("holder"), epoch=bindparam("claims"), next_at=bindparam("until"))
    .values(share=bindparam("of", type_=SafeText), workspace_share=bindparam("within", type_=SafeText))
    .values(chosen=bindparam("wanted", type_=SafeText))
)
"""Saves a locked conversation to which turns are added."""


def _insert_conversation(kind: str) -> Any:
    """Returns no row when another transaction was first."""
    return (
        insert_of(kind)(conversations)
        .values({column.name: bindparam(column.name, type_=column.type) for column in KEY})
        .values(head=0, tail=bindparam("last"), owner=bindparam("holder"), epoch=bindparam("claims"))
        .values(next_at=bindparam("until"), created_at=clock(), chosen=bindparam("wanted", type_=SafeText))
        .values(share=bindparam("of", type_=SafeText), workspace_share=bindparam("within", type_=SafeText))
        .on_conflict_do_nothing()
    )


class EnqueueStatements:
    """The statements of one kind of database."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.now = DriverStatement(read_clock, kind)
        self.message_exists = DriverStatement(message_exists, kind)
        self.messages_existing = DriverStatement(messages_existing, kind)
        self.conversation = DriverStatement(open_conversation, kind)
        self.lock_conversations = DriverStatement(lock_open_conversations, kind)
        self.insert_conversation = DriverStatement(_insert_conversation(kind).returning(C.id), kind)
        self.append_turns = DriverStatement(append_turns, kind)
        self.insert_turn = DriverStatement(UPSERTS[kind].insert_turn, kind, row_mapping.NEW_TURN_COLUMNS)


statements_of = cache(EnqueueStatements)
"""The statements of a kind of database, compiled once in a process."""
