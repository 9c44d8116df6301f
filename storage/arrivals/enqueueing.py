"""Commits messages that arrive together: one transaction, and a few statements however many they are.

What exists is locked and read, everything is decided in memory, and the result is saved. A concurrent transaction can
still insert the same message or conversation first; then nothing is saved, and each message is tried again alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway import logs
from gateway.domain.conversations import Claim, Conversation, Lease
from gateway.domain.errors import Conflict, StoreUnavailable
from gateway.domain.models import ConversationKey, MessageKind, Turn, TurnId
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from storage import handovers, pubsub, row_mapping, sql
from storage.arrivals import joining
from storage.arrivals.enqueue_group import Group, Incoming, MessageName, NewTurn, OpenConversation, key_order, name_of
from storage.arrivals.enqueue_sql import statements_of
from storage.connecting.database import Database
from storage.connecting.error_map import is_contention
from storage.new_turns import (
    AlreadyRecorded,
    TurnSlot,
    cancel_in_channel,
    cancelled_by,
    has_unresolved_in_channel,
    new_turn,
)
from storage.queries import SqlTurnQueries

log = logs.get_logger(__name__)


class SqlEnqueueing:
    """Implements ``Store.enqueue_all``."""

    def __init__(self, database: Database, queries: SqlTurnQueries, lease_seconds: float) -> None:
        self._database = database
        self._queries = queries
        self._lease_seconds = lease_seconds
        self._statements = statements_of(database.kind)

    def enqueue_all(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult | Exception]:
        groups = joining.without_repeated_keys(requests)
        return [result for group in groups for result in self._enqueue_group(group)]

    def _enqueue_group(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult | Exception]:
        if len(requests) > 1:
            try:
                return self._enqueue_together(requests)
            except StoreUnavailable as exc:
                if not is_contention(exc):
                    raise
                log.info("messages are recorded one by one after a conflict", count=len(requests))
            except Exception as exc:  # noqa: BLE001  # raised again below, by the message at fault
                log.info("messages are recorded one by one", count=len(requests), error=type(exc).__name__)
        return [self._enqueue_alone(request) for request in requests]

    def _enqueue_alone(self, request: EnqueueRequest) -> EnqueueResult | Exception:
        try:
            while True:
                try:
                    (result,) = self._enqueue_together((request,))
                except AlreadyRecorded:
                    if self._is_other_turn(request):
                        return Conflict(f"The turn id {request.turn_id} is already used by another message.")
                    continue  # it was recorded, or its conversation was inserted, or deleted, just now: try again
                return result
        except Exception as exc:  # noqa: BLE001  # an error of this message only
            return exc

    def _is_other_turn(self, request: EnqueueRequest) -> bool:
        """Returns whether the turn id belongs to another message."""
        found = self._queries.get_turn(request.turn_id)
        return found is not None and name_of(found.message) != name_of(request.message)

    def _enqueue_together(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult | Exception]:
        """Raises AlreadyRecorded when a concurrent transaction was first."""
        with self._database.driver_transaction() as (connection, cursor):
            group = self._load(cursor, [Incoming.of(request) for request in requests])
            group.stops_elsewhere = _stops_elsewhere(connection, group.incoming)
            if tails := group.with_newest():
                group.newest = joining.newest_turns(connection, tails)
            group.decide(self._lease_seconds)
            recorded = self._save(connection, cursor, group)
            return [
                group.refused.get(index) or self._result(connection, each, recorded)
                for index, each in enumerate(group.incoming)
            ]

    # ---------------------------------------------------------------- reading

    def _load(self, cursor: Any, incoming: Sequence[Incoming]) -> Group:
        keys = sorted({each.key for each in incoming}, key=key_order)
        names = sorted({each.name for each in incoming})
        read = self._read_arrays if self._statements.kind == "postgresql" else self._read_each
        known, rows, at = read(cursor, keys, names)
        conversations = [OpenConversation(ConversationKey(*row[:5]), *row[5:]) for row in rows]
        return Group(incoming, known, {each.key: each for each in conversations}, at)

    def _read_each(
        self, cursor: Any, keys: Sequence[ConversationKey], names: Sequence[MessageName]
    ) -> tuple[Collection[MessageName], Sequence[Any], float]:
        """For SQLite: it has no round trips, and one writer, so nothing needs a lock."""
        statements = self._statements
        known = statements.message_exists.fetch_each(cursor, [{"on": on, "message": message} for on, message in names])
        rows = statements.conversation.fetch_each(cursor, [row_mapping.key_columns(key, "key_") for key in keys])
        (at,) = statements.now.execute(cursor, {}).fetchone()
        return {row for row in known if row is not None}, [row for row in rows if row is not None], at

    def _read_arrays(
        self, cursor: Any, keys: Sequence[ConversationKey], names: Sequence[MessageName]
    ) -> tuple[Collection[MessageName], Sequence[Any], float]:
        """For PostgreSQL: three statements in one round trip. The clock is read when everything is locked."""
        connection, statements = cursor.connection, self._statements
        columns = [row_mapping.key_columns(key, "key_") for key in keys]
        arrays = {name: [each[name] for each in columns] for name in columns[0]}
        with connection.pipeline():
            locked = statements.lock_conversations.execute(cursor, arrays)
            known = statements.messages_existing.execute(
                connection.cursor(), {"on": [on for on, _ in names], "message": [message for _, message in names]}
            )
            now = statements.now.execute(connection.cursor(), {})
            return set(known.fetchall()), locked.fetchall(), now.fetchone()[0]

    # ---------------------------------------------------------------- saving

    def _save(self, connection: Connection, cursor: Any, group: Group) -> dict[MessageName, EnqueueResult]:
        """Returns what each new message became."""
        if not (group.new or group.joined):
            return {}
        self._save_conversations(cursor, group)
        for part in group.joined.values():
            joining.save(connection, part)
        slots = {name: _slot(new, group.at) for name, new in group.new.items()}
        turns = {name: _turn(new, slots[name]) for name, new in group.new.items()}
        # In the order of names, as every transaction does: two of them cannot wait for each other's messages.
        rows = [row_mapping.new_turn_columns(turns[name], _awaited_by(group.new[name])) for name in sorted(turns)]
        if rows and self._statements.insert_turn.execute_all(cursor, rows) < len(rows):
            raise AlreadyRecorded
        for name, new in group.new.items():
            if new.request.message.kind is MessageKind.HAND_OVER:
                handovers.begin(connection, turns[name], group.at)
            joining.save_album(connection, turns[name].id, new.request.message)
        if any(new.is_due and not new.request.message.debounce_seconds for new in group.new.values()):
            pubsub.publish(connection, [pubsub.DUE])
        became = {name: _recorded(connection, new, turns[name], slots[name]) for name, new in group.new.items()}
        return became | {
            name: EnqueueResult(part.turn, is_new=False, is_joined=True) for name, part in group.joined.items()
        }

    def _save_conversations(self, cursor: Any, group: Group) -> None:
        changed = group.changed()
        kept = [each.columns() for each in changed if each.id]
        opened = sorted((each for each in changed if not each.id), key=lambda each: key_order(each.key))
        if kept:
            self._statements.append_turns.execute_all(cursor, kept)
        if opened:
            columns = [row_mapping.key_columns(each.key) | each.columns() for each in opened]
            inserted = self._statements.insert_conversation.fetch_each(cursor, columns)
            for conversation, row in zip(opened, inserted, strict=True):
                if row is None:
                    raise AlreadyRecorded
                conversation.id = row[0]

    def _result(
        self, connection: Connection, incoming: Incoming, recorded: dict[MessageName, EnqueueResult]
    ) -> EnqueueResult:
        """Returns the result for a message that was not refused."""
        found = recorded.get(incoming.name)
        if found is None:
            on, message = incoming.name
            rows = connection.execute(sql.turn_of_message, {"on": on, "message": message}).all()
            if not rows:  # deleted since it was found
                raise AlreadyRecorded
            return EnqueueResult(row_mapping.to_turns(rows)[0], is_new=False)
        is_own = found.is_joined or found.turn.id == incoming.request.turn_id
        return found if is_own else EnqueueResult(found.turn, is_new=False)


def _awaited_by(new: NewTurn) -> str:
    return new.request.received_by if new.request.message.has_waiting_caller else ""


def _slot(new: NewTurn, at: float) -> TurnSlot:
    conversation = new.conversation
    return TurnSlot(
        conversation.id,
        conversation.thread,
        conversation.backend,
        conversation.assistant,
        conversation.chosen,
        conversation.head,
        new.seq,
        conversation.epoch,
        at,
    )


def _turn(new: NewTurn, slot: TurnSlot) -> Turn:
    request = new.request
    return new_turn(request.turn_id, request.message, slot, new.owner, request.received_by, new.assistant)


def _recorded(connection: Connection, new: NewTurn, turn: Turn, slot: TurnSlot) -> EnqueueResult:
    claim = None
    if new.owner:
        thread = (slot.thread, slot.backend, slot.assistant, slot.chosen)
        conversation = Conversation(slot.conversation, turn.message.key, *thread, new.conversation.handover)
        lease = Lease(slot.conversation, new.owner, slot.epoch)
        claim = Claim(lease, conversation, turn, share=new.conversation.share)
    return EnqueueResult(turn, is_new=True, claim=claim, cancelled=_cancelled(connection, new, slot))


def _cancelled(connection: Connection, new: NewTurn, slot: TurnSlot) -> tuple[TurnId, ...]:
    """Cancels what a message cancels; returns the turns' ids."""
    message = new.request.message
    others = cancel_in_channel(connection, message, slot.conversation) if message.stops_channel else ()
    return (*cancelled_by(connection, message.kind, slot), *others)


def _stops_elsewhere(connection: Connection, incoming: Sequence[Incoming]) -> Collection[MessageName]:
    """Returns the STOPs that have something to cancel in other conversations of their channel."""
    asked = [each for each in incoming if each.request.message.stops_channel]
    return {each.name for each in asked if has_unresolved_in_channel(connection, each.request.message)}
