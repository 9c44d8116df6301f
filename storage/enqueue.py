"""Adds turns to the queue (enqueue, failed, retry, import) and changes queued ones (album items, edits, channels)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection

from gateway.domain.errors import Conflict, GatewayError, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.models import (
    Claim,
    Conversation,
    ConversationKey,
    Edit,
    Exchange,
    Failure,
    Kind,
    Lease,
    Mark,
    Message,
    Move,
    Step,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
)
from gateway.ports.store import News, Notice, Recorded
from storage import pubsub, row_mapping, sql, transitions
from storage.database import Database
from storage.key_value import SqlMemory
from storage.queries import ALL, SqlReading
from storage.schema import storable, storable_file


class AlreadyRecorded(GatewayError):
    """The message was recorded before."""


class Slot(NamedTuple):
    """The position of a new turn: a row of sql.SLOT."""

    conversation: int
    thread: ThreadId | None
    backend: str
    head: int
    tail: int
    """The new turn's seq."""
    epoch: int
    at: float

    @property
    def idle(self) -> bool:
        """Whether the conversation had no unfinished turn before the new one."""
        return self.tail == self.head + 1


class SqlRecording(SqlReading, SqlMemory):
    """Implements the parts of Store that add or change queued turns."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds

    # ---------------------------------------------------------------- new turns

    def record(
        self,
        message: Message,
        turn: TurnId,
        *,
        owner: str | None = None,
        taker: str = "",
        backlog: int = 100,
    ) -> Recorded:
        owner = None if message.wait else owner
        while True:
            try:
                with self._database.writing() as connection:
                    slot = self._next_slot(connection, message, owner, backlog)
                    new = _told(turn, message, slot, owner, taker)
                    waiter = taker if message.awaited else ""
                    return self._append(connection, new, slot, owner, awaited_by=waiter, put_off=bool(message.wait))
            except (AlreadyRecorded, Overloaded, ThreadNotFound) as exc:
                refusal = exc
            existing = self.turn_of(message.key.platform, message.message_id)
            if existing is not None:
                return Recorded(existing, new=False)
            if not isinstance(refusal, AlreadyRecorded):
                raise refusal
            if self.turn(turn) is not None:
                raise Conflict(f"The turn id {turn} is already used by another message.")
            # The message was recorded but its conversation has been deleted since: try again.

    def refuse(self, message: Message, turn: TurnId, failure: Failure) -> Turn | None:
        with suppress(AlreadyRecorded, ThreadNotFound), self._database.writing() as connection:
            slot = self._next_slot(connection, replace(message, wait=0.0), None, ALL)
            parameters = {"conversation": slot.conversation, "finished": slot.head, "place": slot.tail - 1}
            if connection.execute(sql.refused_before, parameters | {"code": failure.code}).first():
                raise AlreadyRecorded
            queued = _told(turn, replace(message, awaited=False, wait=0.0), slot, None, "")
            failed = replace(queued, state=TurnState.FAILED, failure=failure, answered_at=slot.at)
            return self._append(connection, failed, slot, None).turn
        return None

    def retry(self, turn: TurnId, again: TurnId) -> Recorded:
        with self._database.writing() as connection:
            row = connection.execute(sql.next_seq_behind, {"turn": turn, **self._lease(None, 0.0)}).first()
            if row is None:
                raise TurnNotFound(f"There is no turn {turn!r}.")
            slot = Slot(*row)
            original = row_mapping.turns_of(connection.execute(sql.turn_to_retry, {"turn": turn}).all())[0]
            _check_retry(original)
            try:
                recorded = self._append(connection, _again(original, again, slot), slot, None)
            except AlreadyRecorded:
                raise Conflict(f"The turn {turn} was already retried.") from None
            audit_log = transitions.along(original, Mark.RETRIED, again, slot.at)
            connection.execute(sql.mark, {"turn": turn, "lines": audit_log})
            return recorded

    def _lease(self, owner: str | None, wait: float) -> dict[str, Any]:
        return {"holder": owner, "wait": self._lease_seconds if owner else wait, "claims": 1 if owner else 0}

    def _next_slot(self, connection: Connection, message: Message, owner: str | None, backlog: int) -> Slot:
        # The conversation's row is updated first: its lock makes seqs follow the order of commits.
        statement = self._inserts.next_seq if message.opens else sql.next_seq_if_open
        key = row_mapping.key_of(message.key, "" if message.opens else "key_")
        row = connection.execute(statement, key | self._lease(owner, message.wait)).first()
        if row is None:
            raise ThreadNotFound
        slot = Slot(*row)
        if slot.tail - slot.head > backlog and message.kind is not Kind.STOP:
            raise Overloaded(f"{backlog} messages in this conversation are waiting for an answer. Try again later.")
        return slot

    def _append(
        self,
        connection: Connection,
        new: Turn,
        slot: Slot,
        owner: str | None,
        *,
        awaited_by: str = "",
        put_off: bool = False,
    ) -> Recorded:
        columns = row_mapping.decided(new) if new.state.decided else row_mapping.recorded(new, awaited_by)
        if connection.execute(self._inserts.turn, columns).rowcount == 0:
            raise AlreadyRecorded
        if slot.idle and owner:
            conversation = Conversation(slot.conversation, new.message.key, slot.thread, slot.backend)
            return Recorded(new, new=True, claim=Claim(Lease(slot.conversation, owner, slot.epoch), conversation, new))
        if slot.idle and not put_off:
            pubsub.tell(connection, [pubsub.DUE])
        stops = new.message.kind is Kind.STOP and not new.state.decided
        return Recorded(new, new=True, stopped=_stop(connection, slot) if stops else ())

    # ---------------------------------------------------------------- changes of existing turns

    def join(self, piece: Message) -> bool:
        with self._database.writing() as connection:
            parameters = {"on": piece.key.platform, "message": piece.message_id}
            row = connection.execute(sql.turn_to_join, parameters).first()
            if row is None:
                return False
            turn = row_mapping.turns_of([row])[0]
            joined = _joined(turn.message, piece)
            if joined is None:
                return True
            if turn.state is not TurnState.QUEUED:
                return False
            columns = {"turn": turn.id, "said": joined.text, "attached": joined.files}
            connection.execute(sql.join, columns)
            return True

    def move(self, move: Move) -> None:
        parameters = {"on": move.platform, "within": move.workspace, "left": move.channel, "to": move.to}
        with self._database.writing() as connection:
            connection.execute(sql.move_channel, parameters)

    def edit(self, edit: Edit) -> bool:
        parameters = {"on": edit.platform, "message": edit.message_id, "said": edit.text}
        with self._database.writing_once() as connection:
            return connection.execute(sql.edit, parameters).rowcount > 0

    def adopt(self, key: ConversationKey, thread: ThreadId, backend: str, past: Sequence[Exchange]) -> Conversation:
        while True:
            with self._database.writing() as connection:
                if self._database.kind == "postgresql":  # SQLite has only one writer at a time
                    connection.execute(sql.lock_thread, {"thread": thread})
                existing = connection.execute(sql.conversation_of, {"thread": thread}).first()
                existing = existing or connection.execute(sql.conversation, row_mapping.key_of(key, "key_")).first()
                if existing is not None:
                    return row_mapping.conversation_of(existing)
                created = self._open(connection, key, thread, backend, past)
                if created is not None:
                    return created

    def _open(
        self, connection: Connection, key: ConversationKey, thread: ThreadId, backend: str, past: Sequence[Exchange]
    ) -> Conversation | None:
        """Creates the conversation with its history. Returns None when another caller created it just now."""
        columns = {"thread_id": thread, "backend": backend, "head": len(past), "tail": len(past)}
        row = connection.execute(self._inserts.adopted, row_mapping.key_of(key) | columns).first()
        if row is None:
            return None
        conversation = row_mapping.conversation_of(row)
        turns = [_past_turn(conversation, seq, exchange, row[-1]) for seq, exchange in enumerate(past, 1)]
        if turns:
            connection.execute(self._inserts.turn, [row_mapping.decided(turn) for turn in turns])
        return conversation


def tell_of_stopped(connection: Connection, stopped: Sequence[Sequence[Any]]) -> None:
    """Publishes cancelled turns to the processes that run or await them. Reads rows of sql.CANCELLED_TURN."""
    running = [Notice(News.CANCELLED, turn) for _, turn, started_at, _ in stopped if started_at is not None]
    awaited = [Notice(News.DECIDED, turn) for _, turn, _, awaited_by in stopped if awaited_by is not None]
    pubsub.tell(connection, [*running, *awaited])


def _stop(connection: Connection, slot: Slot) -> tuple[TurnId, ...]:
    """Cancels the unresolved prompts before a new turn; returns their ids."""
    parameters = {"conversation": slot.conversation, "finished": slot.head, "place": slot.tail}
    cancelled = sorted(connection.execute(sql.cancel_before, parameters), key=lambda row: row[0])
    tell_of_stopped(connection, cancelled)
    return tuple(turn for _, turn, *_ in cancelled)


def _as_stored(message: Message, taker: str) -> Message:
    text, awaited = storable(message.text), message.awaited and bool(taker)
    if text == message.text and awaited == message.awaited and message.opens and not message.files:
        return message
    files = tuple(map(storable_file, message.files))
    return replace(message, text=text, files=files, opens=True, piece="", wait=0.0, awaited=awaited)


def _joined(message: Message, piece: Message) -> Message | None:
    """Returns the message with an album item added; None when it contains the item already."""
    known = {file.reference for file in message.files}
    files = tuple(file for file in map(storable_file, piece.files) if file.reference not in known)
    if not files:
        return None
    return replace(message, text=_together(message.text, piece.text), files=(*message.files, *files))


def _together(text: str, more: str) -> str:
    """Joins two texts. If one contains the other, such as a quote in both, it is not repeated."""
    if more in text or text in more:
        return max(text, more, key=len)
    return f"{text}\n{more}"


def _told(turn: TurnId, message: Message, slot: Slot, owner: str | None, taker: str) -> Turn:
    """Returns a new turn, running if ``owner`` claims the idle conversation with it."""
    new = Turn(
        id=turn,
        conversation=slot.conversation,
        seq=slot.tail,
        message=_as_stored(message, taker),
        state=TurnState.QUEUED,
        trail=(Step(slot.at, Mark.RECEIVED, storable(taker)),) if taker else (),
        received_at=slot.at,
    )
    return transitions.begun(new, owner, slot.at) if owner and slot.idle else new


def _check_retry(turn: Turn) -> None:
    """Raises Conflict when the turn cannot be retried."""
    if turn.state not in (TurnState.FAILED, TurnState.CANCELLED):
        raise Conflict(f"The turn {turn.id} did not fail: it is {turn.state.value}.")
    if turn.erased_at is not None:
        raise Conflict(f"The content of the turn {turn.id} is erased.")


def _again(turn: Turn, again: TurnId, slot: Slot) -> Turn:
    """Returns a copy of a turn: to be delivered, from where that stopped, if it has a reply; else to be asked."""
    message = replace(turn.message, message_id=f"retry:{turn.id}", awaited=False, trace="")
    new = replace(
        Turn(again, slot.conversation, slot.tail, message, TurnState.QUEUED, received_at=slot.at),
        trail=(Step(slot.at, Mark.RECEIVED, f"retry of {turn.id}"),),
    )
    if not (turn.reply or turn.files):
        return new
    # Tokens and cost are counted with the original turn only.
    return replace(
        new,
        state=TurnState.ANSWERED,
        reply=turn.reply,
        files=turn.files,
        model=turn.model,
        parts=turn.parts,
        answered_at=slot.at,
    )


def _past_turn(conversation: Conversation, seq: int, exchange: Exchange, at: float) -> Turn:
    name = uuid4().hex
    return Turn(
        id=TurnId(name),
        conversation=conversation.id,
        seq=seq,
        message=Message(conversation.key, f"past:{name}", exchange.text, exchange.author),
        state=TurnState.DELIVERED,
        reply=exchange.reply,
        received_at=at,
        answered_at=at,
        delivered_at=at,
    )
