"""The store of those who bring messages: recorded, refused, put in once more, joined, edited, moved, adopted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection

from gateway.errors import Conflict, GatewayError, Overloaded, ThreadNotFound, TurnNotFound
from gateway.messages import (
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
from gateway.storing import News, Notice, Recorded
from storage import notices, rows, statements, steps
from storage.database import Database
from storage.memory import SqlMemory
from storage.reading import ALL, SqlReading
from storage.schema import storable, storable_file


class AlreadyRecorded(GatewayError):
    """The message was recorded before."""


class Slot(NamedTuple):
    """Where a new turn goes: a row of statements.SLOT."""

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
        """Whether nothing waited before the new turn."""
        return self.tail == self.head + 1


class SqlRecording(SqlReading, SqlMemory):
    """Implements that part of gateway.storing.Store."""

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
            there = self.turn_of(message.key.platform, message.message_id)
            if there is not None:
                return Recorded(there, new=False)
            if not isinstance(refusal, AlreadyRecorded):
                raise refusal
            if self.turn(turn) is not None:
                raise Conflict(f"There is a turn {turn} already, for another message.")
            # It was there and is forgotten by now.

    def refuse(self, message: Message, turn: TurnId, failure: Failure) -> Turn | None:
        with suppress(AlreadyRecorded, ThreadNotFound), self._database.writing() as connection:
            slot = self._next_slot(connection, replace(message, wait=0.0), None, ALL)
            before = {"conversation": slot.conversation, "finished": slot.head, "place": slot.tail - 1}
            if connection.execute(statements.refused_before, before | {"code": failure.code}).first():
                raise AlreadyRecorded
            told = _told(turn, replace(message, awaited=False, wait=0.0), slot, None, "")
            refused = replace(told, state=TurnState.FAILED, failure=failure, answered_at=slot.at)
            return self._append(connection, refused, slot, None).turn
        return None

    def retry(self, turn: TurnId, again: TurnId) -> Recorded:
        with self._database.writing() as connection:
            row = connection.execute(statements.next_seq_behind, {"turn": turn, **self._lease(None, 0.0)}).first()
            if row is None:
                raise TurnNotFound(f"There is no turn {turn!r}.")
            slot = Slot(*row)
            before = rows.turns_of(connection.execute(statements.turn_to_retry, {"turn": turn}).all())[0]
            _check_retry(before)
            try:
                recorded = self._append(connection, _again(before, again, slot), slot, None)
            except AlreadyRecorded:
                raise Conflict(f"The turn {turn} was retried already.") from None
            lines = steps.along(before, Mark.RETRIED, again, slot.at)
            connection.execute(statements.mark, {"turn": turn, "lines": lines})
            return recorded

    def _lease(self, owner: str | None, wait: float) -> dict[str, Any]:
        return {"holder": owner, "wait": self._lease_seconds if owner else wait, "claims": 1 if owner else 0}

    def _next_slot(self, connection: Connection, message: Message, owner: str | None, backlog: int) -> Slot:
        # The conversation's row comes first: its lock makes the order of seqs the order of commits.
        statement = self._inserts.next_seq if message.opens else statements.next_seq_if_open
        key = rows.key_of(message.key, "" if message.opens else "key_")
        row = connection.execute(statement, key | self._lease(owner, message.wait)).first()
        if row is None:
            raise ThreadNotFound
        slot = Slot(*row)
        if slot.tail - slot.head > backlog and message.kind is not Kind.STOP:
            raise Overloaded(f"{backlog} messages here wait for an answer already. Try again later.")
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
        columns = rows.decided(new) if new.state.decided else rows.recorded(new, awaited_by)
        if connection.execute(self._inserts.turn, columns).rowcount == 0:
            raise AlreadyRecorded
        if slot.idle and owner:
            conversation = Conversation(slot.conversation, new.message.key, slot.thread, slot.backend)
            return Recorded(new, new=True, claim=Claim(Lease(slot.conversation, owner, slot.epoch), conversation, new))
        if slot.idle and not put_off:
            notices.tell(connection, [notices.DUE])
        stops = new.message.kind is Kind.STOP and not new.state.decided
        return Recorded(new, new=True, stopped=_stop(connection, slot) if stops else ())

    # ---------------------------------------------------------------- changes of what is there

    def join(self, piece: Message) -> bool:
        with self._database.writing() as connection:
            wanted = {"on": piece.key.platform, "message": piece.message_id}
            row = connection.execute(statements.turn_to_join, wanted).first()
            if row is None:
                return False
            turn = rows.turns_of([row])[0]
            joined = _joined(turn.message, piece)
            if joined is None:
                return True
            if turn.state is not TurnState.QUEUED:
                return False
            new = {"turn": turn.id, "said": joined.text, "attached": joined.files}
            connection.execute(statements.join, new)
            return True

    def move(self, move: Move) -> None:
        wanted = {"on": move.platform, "within": move.workspace, "left": move.channel, "to": move.to}
        with self._database.writing() as connection:
            connection.execute(statements.move_channel, wanted)

    def edit(self, edit: Edit) -> bool:
        wanted = {"on": edit.platform, "message": edit.message_id, "said": edit.text}
        with self._database.writing_once() as connection:
            return connection.execute(statements.edit, wanted).rowcount > 0

    def adopt(self, key: ConversationKey, thread: ThreadId, backend: str, past: Sequence[Exchange]) -> Conversation:
        while True:
            with self._database.writing() as connection:
                if self._database.kind == "postgresql":  # SQLite has one writer at a time anyway
                    connection.execute(statements.lock_thread, {"thread": thread})
                there = connection.execute(statements.conversation_of, {"thread": thread}).first()
                there = there or connection.execute(statements.conversation, rows.key_of(key, "key_")).first()
                if there is not None:
                    return rows.conversation_of(there)
                opened = self._open(connection, key, thread, backend, past)
                if opened is not None:
                    return opened

    def _open(
        self, connection: Connection, key: ConversationKey, thread: ThreadId, backend: str, past: Sequence[Exchange]
    ) -> Conversation | None:
        """None when somebody opened it just now."""
        columns = {"thread_id": thread, "backend": backend, "head": len(past), "tail": len(past)}
        row = connection.execute(self._inserts.adopted, rows.key_of(key) | columns).first()
        if row is None:
            return None
        conversation = rows.conversation_of(row)
        turns = [_past_turn(conversation, seq, exchange, row[-1]) for seq, exchange in enumerate(past, 1)]
        if turns:
            connection.execute(self._inserts.turn, [rows.decided(turn) for turn in turns])
        return conversation


def tell_of_stopped(connection: Connection, stopped: Sequence[Sequence[Any]]) -> None:
    """Tell those who run them, and those who wait for them. Reads rows of statements.STOPPED."""
    running = [Notice(News.CANCELLED, turn) for _, turn, started_at, _ in stopped if started_at is not None]
    awaited = [Notice(News.DECIDED, turn) for _, turn, _, awaited_by in stopped if awaited_by is not None]
    notices.tell(connection, [*running, *awaited])


def _stop(connection: Connection, slot: Slot) -> tuple[TurnId, ...]:
    """Cancel what is not decided before a new turn."""
    before = {"conversation": slot.conversation, "finished": slot.head, "place": slot.tail}
    stopped = sorted(connection.execute(statements.cancel_before, before), key=lambda row: row[0])
    tell_of_stopped(connection, stopped)
    return tuple(turn for _, turn, *_ in stopped)


def _as_stored(message: Message, taker: str) -> Message:
    text, awaited = storable(message.text), message.awaited and bool(taker)
    if text == message.text and awaited == message.awaited and message.opens and not message.files:
        return message
    files = tuple(map(storable_file, message.files))
    return replace(message, text=text, files=files, opens=True, piece="", wait=0.0, awaited=awaited)


def _joined(message: Message, piece: Message) -> Message | None:
    """The message with the piece; None when it has the piece already."""
    known = {file.reference for file in message.files}
    files = tuple(file for file in map(storable_file, piece.files) if file.reference not in known)
    if not files:
        return None
    return replace(message, text=_together(message.text, piece.text), files=(*message.files, *files))


def _together(text: str, more: str) -> str:
    """What stands in one of them already, such as what both answer to, is not repeated."""
    if more in text or text in more:
        return max(text, more, key=len)
    return f"{text}\n{more}"


def _told(turn: TurnId, message: Message, slot: Slot, owner: str | None, taker: str) -> Turn:
    """A new turn, begun when ``owner`` has the conversation by it."""
    new = Turn(
        id=turn,
        conversation=slot.conversation,
        seq=slot.tail,
        message=_as_stored(message, taker),
        state=TurnState.QUEUED,
        trail=(Step(slot.at, Mark.RECEIVED, storable(taker)),) if taker else (),
        received_at=slot.at,
    )
    return steps.begun(new, owner, slot.at) if owner and slot.idle else new


def _check_retry(turn: Turn) -> None:
    """Raises Conflict."""
    if turn.state not in (TurnState.FAILED, TurnState.CANCELLED):
        raise Conflict(f"The turn {turn.id} did not fail: it is {turn.state.value}.")
    if turn.erased_at is not None:
        raise Conflict(f"What was said in the turn {turn.id} is erased.")


def _again(turn: Turn, again: TurnId, slot: Slot) -> Turn:
    """The same once more: to be brought, from where that stopped, when its reply is there; else to be asked."""
    message = replace(turn.message, message_id=f"retry:{turn.id}", awaited=False, trace="")
    new = replace(
        Turn(again, slot.conversation, slot.tail, message, TurnState.QUEUED, received_at=slot.at),
        trail=(Step(slot.at, Mark.RECEIVED, f"retry of {turn.id}"),),
    )
    if not (turn.reply or turn.files):
        return new
    # What it cost is told by the first one already.
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
