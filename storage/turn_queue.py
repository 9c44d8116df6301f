"""Adds failed and retried turns to the queue, and changes those in it. Migrates, imports and deletes conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from sqlalchemy import Connection

from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Conflict, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import (
    DEFAULT_ASSISTANT,
    ConversationKey,
    Failure,
    Message,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
)
from gateway.domain.platform_events import ChannelMigrated, Feedback, MessageEdited
from gateway.ports.enqueue import DEFAULT_ROUTE, AssistantRoute, EnqueueResult
from storage import handovers, parking, pubsub, row_mapping, sql
from storage.api_objects import delete_messages_of
from storage.arrivals import joining
from storage.connecting.database import Database
from storage.new_turns import AlreadyRecorded, TurnSlot, backlog_full, cancelled_by, new_turn, publish_cancelled
from storage.queries import SqlTurnQueries
from storage.retired_threads import is_retired, retire_threads
from storage.tables.column_types import storable, storable_file
from storage.tables.schema import turns
from storage.uploads import delete_uploads_of
from storage.upserts import UPSERTS
from storage.writes import transitions


class SqlTurnQueue:
    """Implements the methods of Store that add turns, or change them without a lease."""

    def __init__(self, database: Database, queries: SqlTurnQueries) -> None:
        self._database = database
        self._upserts = UPSERTS[database.kind]
        self._queries = queries

    # ---------------------------------------------------------------- new turns

    def enqueue_answered(
        self, message: Message, turn_id: TurnId, max_backlog: int = 100, route: AssistantRoute = DEFAULT_ROUTE
    ) -> EnqueueResult:
        with suppress(AlreadyRecorded), self._database.transaction() as connection:
            slot = self._reserve_slot(connection, message)
            if slot.tail - slot.head > max_backlog:
                raise Overloaded(backlog_full(max_backlog))
            queued = new_turn(turn_id, message, slot, None, "", route.decide(message.assistant, slot.chosen))
            reply = storable(message.given_reply)
            answered = replace(
                queued,
                message=replace(queued.message, files=()),
                state=TurnState.ANSWERED,
                reply=reply,
                reply_files=queued.message.files,
                answered_at=slot.at,
            )
            return self._insert_turn(connection, answered, slot)
        found = self._queries.find_turn_by_message(message.key.platform, message.message_id)
        if found is None:
            raise Conflict(f"The turn id {turn_id} is already used by another message.")
        return EnqueueResult(found, is_new=False)

    def enqueue_failed(
        self, message: Message, turn_id: TurnId, failure: Failure, route: AssistantRoute = DEFAULT_ROUTE
    ) -> Turn | None:
        with suppress(AlreadyRecorded, ThreadNotFound), self._database.transaction() as connection:
            slot = self._reserve_slot(connection, message)
            parameters = {"conversation": slot.conversation, "finished": slot.head, "place": slot.tail - 1}
            if connection.execute(sql.unreported_failure, parameters | {"code": failure.code}).first():
                raise AlreadyRecorded
            assistant = route.decide(message.assistant, slot.chosen)
            queued = new_turn(turn_id, replace(message, has_waiting_caller=False), slot, None, "", assistant)
            failed = replace(queued, state=TurnState.FAILED, failure=failure, answered_at=slot.at)
            return self._insert_turn(connection, failed, slot).turn
        return None

    def retry_turn(self, turn_id: TurnId, new_turn_id: TurnId) -> EnqueueResult:
        with self._database.transaction() as connection:
            row = connection.execute(sql.append_turn_after, {"turn": turn_id}).first()
            if row is None:
                raise TurnNotFound(f"There is no turn {turn_id!r}.")
            slot = TurnSlot(*row)
            original = row_mapping.to_turns(connection.execute(sql.locked_turn, {"turn": turn_id}).all())[0]
            _check_retry(original)
            try:
                recorded = self._insert_turn(connection, _retried_turn(original, new_turn_id, slot), slot)
            except AlreadyRecorded:
                raise Conflict(f"The turn {turn_id} was already retried.") from None
            audit_log = transitions.appended(original, AuditEvent.RETRIED_AS, new_turn_id, slot.at)
            connection.execute(sql.set_audit_log, {"turn": turn_id, "lines": audit_log})
            return recorded

    def _reserve_slot(self, connection: Connection, message: Message) -> TurnSlot:
        # The conversation's row is updated first: its lock makes seqs follow the order of commits.
        statement = self._upserts.append_turn if message.may_start_conversation else sql.append_turn_if_exists
        key = row_mapping.key_columns(message.key, "" if message.may_start_conversation else "key_")
        row = connection.execute(statement, key).first()
        if row is None:
            raise ThreadNotFound
        return TurnSlot(*row)

    def _insert_turn(self, connection: Connection, turn: Turn, slot: TurnSlot) -> EnqueueResult:
        resolved = turn.state.is_resolved
        columns = row_mapping.resolved_turn_columns(turn) if resolved else row_mapping.new_turn_columns(turn)
        if connection.execute(self._upserts.insert_turn, columns).rowcount == 0:
            raise AlreadyRecorded
        if slot.was_idle:
            pubsub.publish(connection, [pubsub.DUE])
        cancelled = () if resolved else cancelled_by(connection, turn.message.kind, slot)
        return EnqueueResult(turn, is_new=True, cancelled=cancelled)

    # ---------------------------------------------------------------- changes of existing turns

    def append_to_queued(self, item: Message) -> bool:
        with self._database.transaction() as connection:
            parameters = {"on": item.key.platform, "message": item.message_id}
            row = connection.execute(sql.turn_to_append_to, parameters).first()
            if row is None:
                return False
            turn = row_mapping.to_turns([row])[0]
            files = _new_files(turn.message, item)
            if not files:
                return True
            if turn.state is not TurnState.QUEUED:
                return False
            joining.append_item(connection, turn, item, files)
            return True

    def complete_queued(self, again: Message) -> bool:
        parameters = {"on": again.key.platform, "message": again.message_id}
        with self._database.transaction() as connection:
            # The conversation first, as in every transaction that locks both.
            is_due = again.join is None and connection.execute(sql.end_debounce, parameters).first() is not None
            row = connection.execute(sql.turn_to_append_to, parameters).first()
            if row is None:
                return True
            turn = row_mapping.to_turns([row])[0]
            if turn.state is not TurnState.QUEUED:
                return turn.erased_at is not None or not _new_files(turn.message, again)
            files = (*turn.message.files, *_new_files(turn.message, again))
            said = storable(again.text) if is_due else _longer_text(turn.message, again)
            columns = {"turn": turn.id, "said": said, "attached": files}
            connection.execute(sql.append_to_queued, columns)
            if is_due:
                pubsub.publish(connection, [pubsub.DUE])
        return True

    def edit_queued(self, edit: MessageEdited) -> bool:
        with self._database.transaction() as connection:
            parameters = {"on": edit.platform, "message": edit.message_id}
            row = connection.execute(sql.turn_to_append_to, parameters).first()
            turn = row_mapping.to_turns([row])[0] if row is not None else None
            if turn is None or turn.state is not TurnState.QUEUED:
                return False
            said = joining.edited(connection, turn, edit.message_id, edit.text)
            connection.execute(sql.set_text, {"turn": turn.id, "said": said})
            return True

    def cancel_turn(self, turn_id: TurnId) -> Turn | None:
        with self._database.transaction() as connection:
            parking.wake_turn(connection, turn_id)
            publish_cancelled(connection, connection.execute(sql.cancel, {"turn": turn_id}).all())
        return self._queries.get_turn(turn_id)

    def provide_outputs(self, turn_id: TurnId, outputs: Mapping[str, str]) -> Turn | None:
        with self._database.transaction() as connection:
            # Locks the conversation before the turn, as every transaction that locks both.
            connection.execute(sql.lock_conversation_of, {"turn": turn_id})
            found = row_mapping.to_turns(connection.execute(sql.locked_turn, {"turn": turn_id}).all())
            if not found:
                return None
            turn = found[0]
            if not turn.awaits_outputs:
                return turn
            turn = replace(turn, rounds=(*turn.rounds[:-1], turn.rounds[-1].with_outputs(outputs)))
            connection.execute(sql.set_rounds, {"turn": turn_id, "known": turn.rounds})
            if not turn.rounds[-1].is_open:
                parking.wake_turn(connection, turn_id)
            return turn

    def record_feedback(self, feedback: Feedback) -> bool:
        parameters = {"turn": feedback.turn_id, "critic": feedback.author, "opinion": feedback.value}
        with self._database.single_write() as connection:
            return connection.execute(self._upserts.set_feedback, parameters).rowcount > 0

    # ---------------------------------------------------------------- conversations

    def migrate_channel(self, migration: ChannelMigrated) -> None:
        parameters = {
            "on": migration.platform,
            "within": migration.workspace,
            "left": migration.channel,
            "to": migration.new_channel,
        }
        with self._database.transaction() as connection:
            connection.execute(sql.move_channel, parameters)

    def delete_conversation(self, conversation_id: int) -> None:
        with self._database.transaction() as connection:
            retire_threads(connection, conversation_id)
            handovers.erase_brought(connection, conversation_id)
            delete_uploads_of(connection, turns.c.conversation_id == conversation_id, {})
            delete_messages_of(connection, conversation_id)
            connection.execute(sql.delete_conversation, {"conversation": conversation_id})

    def release_adopted(self, conversation_id: int) -> None:
        with self._database.transaction() as connection:
            connection.execute(sql.delete_conversation, {"conversation": conversation_id})

    def import_thread(
        self,
        key: ConversationKey,
        thread_id: ThreadId,
        backend: str,
        history: Sequence[Exchange],
        assistant: str = DEFAULT_ASSISTANT,
    ) -> Conversation:
        thread = {"thread_id": thread_id, "backend": backend, "assistant": assistant}
        while True:
            with self._database.transaction() as connection:
                if self._database.kind == "postgresql":  # SQLite has only one writer at a time
                    connection.execute(sql.lock_thread, {"thread": thread_id})
                existing = (
                    connection.execute(sql.conversation_by_thread, {"thread": thread_id}).first()
                    or connection.execute(sql.conversation_by_former_thread, {"thread": thread_id}).first()
                    or connection.execute(sql.conversation, row_mapping.key_columns(key, "key_")).first()
                )
                if existing is not None:
                    return row_mapping.to_conversation(existing)
                if is_retired(connection, thread_id):
                    raise ThreadNotFound
                created = self._insert_imported(connection, key, thread, history)
                if created is not None:
                    return created

    def _insert_imported(
        self, connection: Connection, key: ConversationKey, thread: Mapping[str, str], history: Sequence[Exchange]
    ) -> Conversation | None:
        """Creates the conversation with its history. Returns None when another caller created it just now.

        ``thread``: the columns that say whose thread it is.
        """
        columns = {**thread, "head": len(history), "tail": len(history)}
        row = connection.execute(self._upserts.insert_imported, row_mapping.key_columns(key) | columns).first()
        if row is None:
            return None
        conversation = row_mapping.to_conversation(row)
        turns = [_imported_turn(conversation, seq, exchange, row[-1]) for seq, exchange in enumerate(history, 1)]
        if turns:
            connection.execute(self._upserts.insert_turn, [row_mapping.resolved_turn_columns(turn) for turn in turns])
        return conversation


def _new_files(message: Message, more: Message) -> tuple[File, ...]:
    """Returns the files of ``more`` that the message does not have."""
    known = {file.reference for file in message.files}
    return tuple(file for file in map(storable_file, more.files) if file.reference not in known)


def _longer_text(message: Message, again: Message) -> str:
    """Returns the text of a message that arrived twice: with what follows it, but never one that an edit replaced."""
    said = storable(again.text)
    return said if said.startswith(f"{message.text}\n") else message.text


def _check_retry(turn: Turn) -> None:
    """Raises Conflict when the turn cannot be retried."""
    if turn.state not in (TurnState.FAILED, TurnState.CANCELLED):
        raise Conflict(f"The turn {turn.id} did not fail: it is {turn.state.value}.")
    if turn.erased_at is not None:
        raise Conflict(f"The content of the turn {turn.id} is erased.")


def _retried_turn(turn: Turn, new_turn_id: TurnId, slot: TurnSlot) -> Turn:
    """Returns a copy of a turn: to be delivered, from where that stopped, if it has a reply; else to be asked."""
    message = replace(turn.message, message_id=f"retry:{turn.id}", has_waiting_caller=False, traceparent="")
    new = Turn(
        *(new_turn_id, slot.conversation, slot.tail, message, TurnState.QUEUED),
        received_at=slot.at,
        assistant=turn.assistant,
        audit_log=(AuditEntry(slot.at, AuditEvent.RECEIVED, f"retry of {turn.id}"),),
    )
    if not (turn.reply or turn.reply_files):
        return new
    # Tokens and cost are counted with the original turn only.
    return replace(
        new,
        state=TurnState.ANSWERED,
        reply=turn.reply,
        reply_files=turn.reply_files,
        model=turn.model,
        posted_messages=turn.posted_messages,
        answered_at=slot.at,
    )


def _imported_turn(conversation: Conversation, seq: int, exchange: Exchange, at: float) -> Turn:
    name = uuid4().hex
    return Turn(
        id=TurnId(name),
        conversation_id=conversation.id,
        seq=seq,
        message=Message(conversation.key, f"past:{name}", exchange.text, exchange.author),
        state=TurnState.DELIVERED,
        reply=exchange.reply,
        received_at=at,
        answered_at=at,
        delivered_at=at,
        assistant=conversation.assistant,
    )
