"""Applies the writes of lease holders by UPDATEs with a fence, without loading anything.

A lease holder knows its turn. So the new turn is computed from the known one, and the UPDATE hits only if the stored
turn is still the known one. The fence compares what any other process can change of a turn in progress; versions 0.1.0
and 0.2.0 change the same columns in these cases:

- owner and epoch of the conversation, and that it exists: another claim, delete
- its head: the turn was finished before, and the result of that write was lost
- its channel: the platform gave the channel another id
- the turn's state: stop, cancel, forget
- its audit log, to which every claim, release, run and retry appends
- its posted messages, and whether it is erased

Text and files of a turn change only while it is queued; the claim loads them. Only its holder sets its context, and
``forget`` takes from it what was quoted of a person. What does not hit is left to
``storage.writes.leased_writes``, which loads the turn and decides by what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, TypeGuard

from sqlalchemy import ARRAY, BigInteger, Column, Connection, Update, any_, bindparam, null, select, update

from gateway.domain.conversations import Claim, Conversation
from gateway.domain.models import Turn, TurnState
from gateway.domain.shares import Share
from gateway.ports.cluster import ClusterEvent, EventKind
from gateway.ports.leased_writes import (
    FinishTurn,
    LeasedWrite,
    RecordOutcome,
    SetContext,
    SetPostedMessages,
    SetRun,
    SetThread,
    WriteResult,
)
from storage import pubsub, row_mapping, sql
from storage.clock import clock, read_clock
from storage.driver_sql import Call, DriverStatement, Row, run_all
from storage.sql import C, T
from storage.tables.schema import conversations, turns
from storage.writes import transitions

TurnWrite = SetRun | SetContext | RecordOutcome | SetPostedMessages | FinishTurn
HotWrite = SetThread | TurnWrite

# ---------------------------------------------------------------- statements


def _change(which: Update, *columns: Column[Any]) -> Update:
    """Sets columns to parameters of the same names."""
    return which.values({column.name: bindparam(column.name, type_=column.type) for column in columns})


_is_held = (C.id == bindparam("conversation"), C.owner == bindparam("holder"), C.epoch == bindparam("epoch"))
_is_current = C.head == bindparam("place") - 1
_is_at_place = (T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"))
_known_turn = update(turns).where(
    *(*_is_at_place, T.id == bindparam("turn"), T.state == bindparam("known_state")),
    *(T.trail == bindparam("known_trail"), T.parts == bindparam("known_parts"), T.erased_at.is_(None)),
    select(C.id).where(*_is_held, _is_current, C.channel == bindparam("known_channel")).exists(),
)
_finished_just_now = select(T.id).where(*_is_at_place, T.delivered_at == bindparam("delivered_at")).exists()
_THREAD = (C.thread_id, C.backend, C.assistant)

lock_conversations = (
    select(C.id)
    .where(C.id == any_(bindparam("conversations", type_=ARRAY(BigInteger))))
    .order_by(C.id)
    .with_for_update(key_share=True)
)
set_thread = _change(update(conversations).where(*_is_held, C.thread_id.is_(None)), *_THREAD)
set_run = _change(_known_turn, T.run_id, T.trail)
set_context = _change(_known_turn, T.context, T.files)
set_posted_messages = _change(_known_turn, T.parts)
record_outcome = _change(
    _known_turn,
    *(T.state, T.answered_at, T.reply, T.made, T.calls, T.returned, T.refusal, T.tokens_in, T.tokens_out),
    *(T.model, T.cost, T.cost_is_estimate),
    *(T.error_code, T.error_sentence, T.error_parts, T.error_detail, T.error_retry_after),
)
record_awaited_outcome = record_outcome.returning(T.awaited_by)
finish_turn = _change(_known_turn, T.state, T.delivered_at, T.parts)
leave_last_turn = (
    update(conversations)
    .where(*_is_held, _is_current, _finished_just_now, C.tail == bindparam("place"))
    .values(head=bindparam("place"), owner=null(), next_at=null(), share="")
)
"""Follows ``finish_turn``: releases the lease if there is no other turn."""
leave_turn = (
    update(conversations)
    .where(C.id == bindparam("conversation"))
    .values(
        head=bindparam("place"),
        owner=bindparam("next_holder", type_=C.owner.type),
        next_at=clock() + bindparam("wait", type_=C.next_at.type),
    )
    .returning(C.share, C.workspace_share, C.handover_seq, C.handed_over_at, *_THREAD, C.chosen)
)
"""Follows it if there is: moves the conversation to its next turn."""
load_next_turn = (
    select(*sql.TURN)
    .where(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place") + 1)
    .with_for_update()
)
claim_turn = _change(update(turns).where(*_is_at_place), T.state, T.attempts, T.started_at, T.trail)


class FencedStatements:
    """The statements, prepared for one kind of database."""

    def __init__(self, kind: str) -> None:
        def prepared(statement: Any) -> DriverStatement:
            return DriverStatement(statement, kind)

        self.lock_conversations = None if kind == "sqlite" else prepared(lock_conversations)
        self.read_clock = prepared(read_clock)
        self.set_thread = prepared(set_thread)
        self.set_run = prepared(set_run)
        self.set_context = prepared(set_context)
        self.set_posted_messages = prepared(set_posted_messages)
        # On SQLite there is no other process that could await it.
        self.record_outcome = prepared(record_outcome if kind == "sqlite" else record_awaited_outcome)
        self.finish_turn = prepared(finish_turn)
        self.leave_last_turn = prepared(leave_last_turn)
        self.leave_turn = prepared(leave_turn)
        self.load_next_turn = prepared(load_next_turn)
        self.claim_turn = prepared(claim_turn)


fenced_statements_of = cache(FencedStatements)
"""The statements of a kind of database, compiled once in a process."""


# ---------------------------------------------------------------- one transaction


@dataclass(frozen=True, slots=True)
class FencedWrite:
    """A write with the statements that apply it. It hit if the first one changed a row."""

    index: int
    """Its place among the writes of the transaction."""
    write: HotWrite
    turn: Turn | None
    """The turn as it will be stored; None for a write that only concerns the conversation."""
    calls: Sequence[Call]


ContinuedConversation = tuple[int, FinishTurn]
"""The index of a write that finished a turn before another one, and the write."""


class FencedWriteBatch:
    """The fenced writes of one transaction: at most one of each conversation."""

    def __init__(self, connection: Connection, cursor: Any, statements: FencedStatements, lease_seconds: float) -> None:
        """``cursor``: the driver's, in the transaction of the connection."""
        self._connection = connection
        self._cursor = cursor
        self._statements = statements
        self._lease_seconds = lease_seconds
        self._results: dict[int, WriteResult] = {}
        self._events: list[ClusterEvent] = []
        self._continued: list[ContinuedConversation] = []
        self._now = 0.0

    def apply(self, writes: Sequence[LeasedWrite]) -> dict[int, WriteResult]:
        """Applies those writes that hit, and returns the result of each by its index. The others are still to apply.

        Only the first write on a conversation can hit, as the next one may depend on it.
        """
        first: dict[int, tuple[int, LeasedWrite]] = {}
        for index, write in enumerate(writes):
            first.setdefault(write.lease.conversation_id, (index, write))
        hot = [(index, write) for index, write in first.values() if _is_hot(write)]
        if hot:
            self._lock(writes)
            self._apply([self._fenced(index, write) for index, write in hot])
            pubsub.publish(self._connection, self._events)
        return self._results

    def _lock(self, writes: Sequence[LeasedWrite]) -> None:
        """Locks the conversations of all writes, and reads the time.

        In the order of their ids, as every transaction that locks several does, so that no two can deadlock. SQLite has
        only one writer at a time.
        """
        calls = [Call(self._statements.read_clock, {})]
        if self._statements.lock_conversations is not None:
            ids = sorted({write.lease.conversation_id for write in writes})
            calls.insert(0, Call(self._statements.lock_conversations, {"conversations": ids}))
        self._now = run_all(self._cursor, calls)[-1][0][0]

    def _apply(self, fenced: Sequence[FencedWrite]) -> None:
        rows = iter(run_all(self._cursor, [call for each in fenced for call in each.calls]))
        for each in fenced:
            found = list(islice(rows, len(each.calls)))
            if found[0]:
                self._note_hit(each, found)
        if self._continued:
            self._go_on()

    # ---------------------------------------------------------------- the writes

    def _fenced(self, index: int, write: HotWrite) -> FencedWrite:
        known = self._statements
        changes: dict[str, Any]
        match write:
            case SetThread():
                return FencedWrite(index, write, None, [Call(known.set_thread, _thread_values(write))])
            case SetRun():
                new, statement = transitions.with_run(write.turn, write.run_id, self._now), known.set_run
                changes = {"run_id": new.run_id, "trail": new.audit_log}
            case SetContext():
                new, statement = transitions.with_context(write.turn, write.context), known.set_context
                changes = {"context": new.message.context, "files": new.message.files}
            case RecordOutcome():
                new, statement = transitions.with_outcome(write.turn, write, self._now), known.record_outcome
                changes = row_mapping.outcome_columns(new)
            case SetPostedMessages():
                new, statement = transitions.with_posted_messages(write.turn, write), known.set_posted_messages
                changes = {"parts": new.posted_messages}
            case FinishTurn():
                return self._fenced_finish(index, write)
        return FencedWrite(index, write, new, [Call(statement, _known_values(write) | changes)])

    def _fenced_finish(self, index: int, write: FinishTurn) -> FencedWrite:
        known, new = self._statements, transitions.finished(write.turn, write, self._now)
        values = _known_values(write) | {
            "state": new.state,
            "delivered_at": new.delivered_at,
            "parts": new.posted_messages,
        }
        return FencedWrite(index, write, new, [Call(known.finish_turn, values), Call(known.leave_last_turn, values)])

    # ---------------------------------------------------------------- their results

    def _note_hit(self, fenced: FencedWrite, found: Sequence[Sequence[Row]]) -> None:
        write = fenced.write
        if isinstance(write, FinishTurn):
            self._note_finished(fenced.index, write, was_last=bool(found[1]))
            return
        if isinstance(write, RecordOutcome) and {*found[0][0]} - {None, write.lease.owner}:
            self._events.append(ClusterEvent(EventKind.RESOLVED, write.turn.id))
        self._results[fenced.index] = fenced.turn

    def _note_finished(self, index: int, write: FinishTurn, *, was_last: bool) -> None:
        if not was_last:
            self._continued.append((index, write))
            if write.claim_next:
                return
            self._events.append(pubsub.DUE)
        self._results[index] = None

    def _go_on(self) -> None:
        """Moves conversations to their next turns, and claims these. Where one is missing, the write is left to be
        applied otherwise: only a manual change of the database can cause such a gap.
        """
        known, waited_for = self._statements, [each for each in self._continued if each[1].claim_next]
        moves = [Call(known.leave_turn, self._move_values(write)) for _, write in self._continued]
        loads = [Call(known.load_next_turn, self._move_values(write)) for _, write in waited_for]
        found = run_all(self._cursor, [*moves, *loads])
        moved = {index: rows[0] for (index, _), rows in zip(self._continued, found, strict=False)}
        claims = []
        for (index, write), rows in zip(waited_for, found[len(moves) :], strict=True):
            if rows:
                claim = self._results[index] = self._next_claim(write, moved[index], rows[0])
                claims.append(Call(known.claim_turn, begun_columns(claim.turn)))
        run_all(self._cursor, claims)

    def _move_values(self, write: FinishTurn) -> dict[str, Any]:
        return {
            "conversation": write.lease.conversation_id,
            "place": write.turn.seq,
            "next_holder": write.lease.owner if write.claim_next else None,
            "wait": self._lease_seconds if write.claim_next else 0.0,
        }

    def _next_claim(self, write: FinishTurn, left: Row, following: Row) -> Claim:
        caller, workspace, taken, since, thread, backend, assistant, chosen = left
        key = write.turn.message.key
        turn = row_mapping.to_turn(following, key)
        begun = transitions.claimed(turn, write.lease.owner, self._now)
        whose = (thread, backend, assistant, chosen)
        conversation = Conversation(turn.conversation_id, key, *whose, row_mapping.to_handover(taken, since))
        return Claim(write.lease, conversation, begun, turn.state is TurnState.QUEUED, Share(caller, workspace))


def _is_hot(write: LeasedWrite) -> TypeGuard[HotWrite]:
    """Whether it is a change that nearly every turn has. The others need what only the database knows."""
    match write:
        case SetThread():
            return write.thread_id is not None
        case SetRun():
            return write.run_id != write.turn.run_id
        case RecordOutcome():
            return write.turn.state is TurnState.RUNNING
        case FinishTurn():
            return write.turn.state.is_resolved and write.failure is None
    return isinstance(write, SetContext | SetPostedMessages)


def _thread_values(write: SetThread) -> dict[str, Any]:
    lease = write.lease
    return {
        "conversation": lease.conversation_id,
        "holder": lease.owner,
        "epoch": lease.epoch,
        "thread_id": write.thread_id,
        "backend": write.backend,
        "assistant": write.assistant,
    }


def _known_values(write: TurnWrite) -> dict[str, Any]:
    """Returns the parameters of the fence: what the lease holder knows."""
    known, lease = write.turn, write.lease
    return {
        "conversation": lease.conversation_id,
        "holder": lease.owner,
        "epoch": lease.epoch,
        "place": known.seq,
        "turn": known.id,
        "known_state": known.state,
        "known_trail": known.audit_log,
        "known_parts": known.posted_messages,
        "known_channel": known.message.key.channel,
    }


def begun_columns(begun: Turn) -> dict[str, Any]:
    """Returns what ``transitions.claimed`` changes of a turn that was not parked, and where the turn is."""
    return {
        "conversation": begun.conversation_id,
        "place": begun.seq,
        "state": begun.state,
        "attempts": begun.attempts,
        "started_at": begun.started_at,
        "trail": begun.audit_log,
    }
