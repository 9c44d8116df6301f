"""Keeps the ids of threads whose conversations are deleted or erased, so that nobody can adopt such a thread."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, literal, select, update

from gateway.domain.models import ThreadId
from storage.sql import C
from storage.tables.schema import former_threads

NO_CONVERSATION = 0
_retire_thread = insert(former_threads).from_select(
    ["conversation_id", "thread_id", "backend", "assistant"],
    select(literal(NO_CONVERSATION), C.thread_id, C.backend, C.assistant).where(
        C.id == bindparam("conversation"), C.thread_id.is_not(None)
    ),
)
_retire_former_threads = (
    update(former_threads)
    .where(former_threads.c.conversation_id == bindparam("conversation"))
    .values(conversation_id=NO_CONVERSATION)
)
_retired_thread = select(literal(1)).where(
    former_threads.c.thread_id == bindparam("thread"), former_threads.c.conversation_id == NO_CONVERSATION
)


def retire_threads(connection: Connection, conversation_id: int) -> None:
    """Notes all threads that a conversation has or had. Called before it is deleted, or its thread is unset."""
    for statement in (_retire_thread, _retire_former_threads):
        connection.execute(statement, {"conversation": conversation_id})


def is_retired(connection: Connection, thread_id: ThreadId) -> bool:
    """Returns whether the thread was of a conversation that is deleted or erased."""
    return connection.execute(_retired_thread, {"thread": thread_id}).first() is not None
