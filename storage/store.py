"""The store of gateway.storing on SQLAlchemy: SQLite for one process, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Select

from gateway.errors import Conflict, GatewayError, Overloaded, ThreadNotFound
from gateway.messages import (
    Claim,
    Conversation,
    ConversationKey,
    Edit,
    Exchange,
    Kind,
    Lease,
    Message,
    Move,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
    Verdict,
)
from gateway.storing import Change, Recorded, Renewal, Result
from storage import rows, statements
from storage.batch import Batch
from storage.database import Database
from storage.memory import SqlMemory
from storage.schema import storable, storable_file

ALL = 2**31 - 1
"""More turns than a conversation can have."""


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


class SqlStore(SqlMemory):
    """Implements gateway.storing.Store. Connects at the first call."""

    def __init__(self, url: str, *, lease_seconds: float = 15.0) -> None:
        """Raises SettingsError when the URL cannot work."""
        super().__init__(Database(url))
        self._lease_seconds = lease_seconds
        self.shared = self._database.kind == "postgresql"

    # ---------------------------------------------------------------- recording

    def record(self, message: Message, turn: TurnId, *, owner: str | None = None, backlog: int = 100) -> Recorded:
        owner = None if message.wait else owner
        while True:
            try:
                with self._database.writing() as connection:
                    slot = self._next_slot(connection, message, owner, backlog)
                    return self._append(connection, message, turn, slot, owner)
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

    def _next_slot(self, connection: Connection, message: Message, owner: str | None, backlog: int) -> Slot:
        # The conversation's row comes first: its lock makes the order of seqs the order of commits.
        statement = self._inserts.next_seq if message.opens else statements.next_seq_if_open
        wait = self._lease_seconds if owner else message.wait
        lease = {"holder": owner, "wait": wait, "claims": 1 if owner else 0}
        key = rows.key_of(message.key, "" if message.opens else "key_")
        row = connection.execute(statement, key | lease).first()
        if row is None:
            raise ThreadNotFound
        slot = Slot(*row)
        if slot.tail - slot.head > backlog and message.kind is not Kind.STOP:
            raise Overloaded(f"{backlog} messages here wait for an answer already. Try again later.")
        return slot

    def _append(
        self, connection: Connection, message: Message, turn: TurnId, slot: Slot, owner: str | None
    ) -> Recorded:
        was_idle = slot.tail == slot.head + 1
        new = _new_turn(turn, message, slot, claimed=bool(owner) and was_idle)
        if connection.execute(self._inserts.turn, rows.recorded(new)).rowcount == 0:
            raise AlreadyRecorded
        if not (owner and was_idle):
            return Recorded(new, new=True, stopped=_stop(connection, slot) if message.kind is Kind.STOP else ())
        conversation = Conversation(slot.conversation, message.key, slot.thread, slot.backend)
        return Recorded(new, new=True, claim=Claim(Lease(slot.conversation, owner, slot.epoch), conversation, new))

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
            connection.execute(self._inserts.turn, [rows.adopted(turn) for turn in turns])
        return conversation

    # ---------------------------------------------------------------- holding

    def claim(self, owner: str, platforms: Sequence[str], limit: int) -> Sequence[Claim]:
        if limit < 1 or not platforms:
            return ()
        wanted = {"holder": owner, "platforms": list(platforms), "most": limit, "wait": self._lease_seconds}
        with self._database.writing() as connection:
            taken = connection.execute(statements.take, wanted).all()
            if not taken:
                return ()
            batch = Batch(connection, taken, self._lease_seconds)
            claims = batch.claim_all(owner)
            batch.save()
            return claims

    def renew(self, owner: str, among: Collection[int] | None = None) -> Renewal:
        """``among``: only leases on these conversations; one that the owner does not know it has runs out."""
        wanted: dict[str, Any] = {"holder": owner, "wait": self._lease_seconds}
        statement = statements.renew
        if among is not None:
            statement, wanted["among"] = statements.renew_some, list(among)
        with self._database.writing_once() as connection:
            held = frozenset(connection.execute(statement, wanted).scalars())
        if not held:
            return Renewal(held, frozenset())
        with self._database.reading() as connection:
            cancelled = frozenset(connection.execute(statements.cancelled, {"holder": owner}).scalars())
        return Renewal(held, cancelled)

    def write(self, changes: Sequence[Change]) -> Sequence[Result]:
        if not changes:
            return ()
        with self._database.writing() as connection:
            batch = Batch.hold(connection, changes, self._lease_seconds)
            results = [batch.apply(change) for change in changes]
            batch.save()
            return results

    # ---------------------------------------------------------------- reading

    def turn(self, turn: TurnId) -> Turn | None:
        return self._turn(statements.turn, turn=turn)

    def turn_of(self, platform: str, message_id: str) -> Turn | None:
        return self._turn(statements.turn_of_message, on=platform, message=message_id)

    def conversation(self, key: ConversationKey) -> Conversation | None:
        return self._conversation(statements.conversation, **rows.key_of(key, "key_"))

    def conversation_of(self, thread: ThreadId) -> Conversation | None:
        return self._conversation(statements.conversation_of, thread=thread)

    def transcript(self, conversation: int, *, before: int | None = None, limit: int | None = None) -> Sequence[Turn]:
        wanted = {
            "conversation": conversation,
            "before": ALL if before is None else before,
            "newest": ALL if limit is None else limit,
        }
        with self._database.reading() as connection:
            return rows.turns_of(connection.execute(statements.transcript, wanted).all())[::-1]

    def _turn(self, statement: Select[*tuple[Any, ...]], **wanted: str) -> Turn | None:
        with self._database.reading() as connection:
            found = rows.turns_of(connection.execute(statement, wanted).all())
        return found[0] if found else None

    def _conversation(self, statement: Select[*tuple[Any, ...]], **wanted: str) -> Conversation | None:
        with self._database.reading() as connection:
            row = connection.execute(statement, wanted).first()
        return None if row is None else rows.conversation_of(row)

    # ---------------------------------------------------------------- verdicts

    def judge(self, verdict: Verdict) -> bool:
        wanted = {"turn": verdict.turn, "critic": verdict.author, "opinion": verdict.value}
        with self._database.writing_once() as connection:
            return connection.execute(self._inserts.verdict, wanted).rowcount > 0

    def verdicts(self, turn: TurnId) -> Sequence[Verdict]:
        with self._database.reading() as connection:
            return [Verdict(*row) for row in connection.execute(statements.verdicts_of, {"turn": turn})]

    # ---------------------------------------------------------------- the rest

    def cancel(self, turn: TurnId) -> Turn | None:
        with self._database.writing_once() as connection:
            connection.execute(statements.cancel, {"turn": turn})
        return self.turn(turn)

    def forget(self, conversation: int) -> None:
        with self._database.writing_once() as connection:
            connection.execute(statements.forget, {"conversation": conversation})

    def ping(self) -> None:
        with self._database.reading() as connection:
            connection.execute(statements.ping)

    def close(self) -> None:
        self._database.close()


def _stop(connection: Connection, slot: Slot) -> tuple[TurnId, ...]:
    """Cancel what is not decided before a new turn."""
    before = {"conversation": slot.conversation, "finished": slot.head, "place": slot.tail}
    return tuple(turn for _, turn in sorted(connection.execute(statements.cancel_before, before)))


def _as_stored(message: Message) -> Message:
    text = storable(message.text)
    if text == message.text and message.opens and not message.files:
        return message
    return replace(message, text=text, files=tuple(map(storable_file, message.files)), opens=True, piece="", wait=0.0)


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


def _new_turn(turn: TurnId, message: Message, slot: Slot, *, claimed: bool) -> Turn:
    return Turn(
        id=turn,
        conversation=slot.conversation,
        seq=slot.tail,
        message=_as_stored(message),
        state=TurnState.RUNNING if claimed else TurnState.QUEUED,
        attempts=int(claimed),
        received_at=slot.at,
        started_at=slot.at if claimed else None,
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
