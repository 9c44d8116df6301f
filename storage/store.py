"""The store of gateway.ports on SQLAlchemy: SQLite for one process, PostgreSQL for several."""

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
    Exchange,
    Lease,
    Message,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
)
from gateway.ports import Change, Recorded, Renewal, Result
from storage import rows, statements
from storage.batch import Batch
from storage.database import Database
from storage.schema import storable

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


class SqlStore:
    """Implements gateway.ports.Store. Connects at the first call."""

    def __init__(self, url: str, *, lease_seconds: float = 15.0) -> None:
        """Raises SettingsError when the URL cannot work."""
        self._database = Database(url)
        self._lease_seconds = lease_seconds
        self._inserts = statements.INSERTS[self._database.kind]

    # ---------------------------------------------------------------- recording

    def record(
        self,
        message: Message,
        turn: TurnId,
        *,
        owner: str | None = None,
        backlog: int = 100,
        opening: bool = True,
    ) -> Recorded:
        while True:
            try:
                with self._database.writing() as connection:
                    slot = self._next_slot(connection, message.key, owner, backlog=backlog, opening=opening)
                    return self._append(connection, message, turn, slot, owner)
            except (AlreadyRecorded, Overloaded, ThreadNotFound) as exc:
                refusal = exc
            there = self._turn(statements.turn_of_message, platform=message.key.platform, message=message.message_id)
            if there is not None:
                return Recorded(there, new=False)
            if not isinstance(refusal, AlreadyRecorded):
                raise refusal
            if self.turn(turn) is not None:
                raise Conflict(f"There is a turn {turn} already, for another message.")
            # It was there and is forgotten by now.

    def _next_slot(
        self, connection: Connection, key: ConversationKey, owner: str | None, *, backlog: int, opening: bool
    ) -> Slot:
        # The conversation's row comes first: its lock makes the order of seqs the order of commits.
        statement = self._inserts.next_seq if opening else statements.next_seq_if_open
        lease = {"holder": owner, "wait": self._lease_seconds if owner else 0.0, "claims": 1 if owner else 0}
        row = connection.execute(statement, rows.key_of(key, "" if opening else "key_") | lease).first()
        if row is None:
            raise ThreadNotFound
        slot = Slot(*row)
        if slot.tail - slot.head > backlog:
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
            return Recorded(new, new=True)
        conversation = Conversation(slot.conversation, message.key, slot.thread, slot.backend)
        return Recorded(new, new=True, claim=Claim(Lease(slot.conversation, owner, slot.epoch), conversation, new))

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
        with self._database.writing() as connection:
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

    # ---------------------------------------------------------------- the rest

    def cancel(self, turn: TurnId) -> Turn | None:
        with self._database.writing() as connection:
            connection.execute(statements.cancel, {"turn": turn})
        return self.turn(turn)

    def forget(self, conversation: int) -> None:
        with self._database.writing() as connection:
            connection.execute(statements.forget, {"conversation": conversation})

    def recall(self, name: str) -> str | None:
        with self._database.reading() as connection:
            return connection.execute(statements.recall, {"fact": name}).scalar()

    def remember(self, name: str, value: str) -> str:
        with self._database.writing() as connection:
            connection.execute(self._inserts.fact, {"name": name, "value": value})
            kept: str = connection.execute(statements.recall, {"fact": name}).scalar_one()
            return kept

    def ping(self) -> None:
        with self._database.reading() as connection:
            connection.execute(statements.ping)

    def close(self) -> None:
        self._database.close()


def _new_turn(turn: TurnId, message: Message, slot: Slot, *, claimed: bool) -> Turn:
    text = storable(message.text)
    return Turn(
        id=turn,
        conversation=slot.conversation,
        seq=slot.tail,
        message=message if text == message.text else replace(message, text=text),
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
