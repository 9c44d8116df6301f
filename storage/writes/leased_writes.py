"""Applies the writes of lease holders in memory, between loading conversations and turns and saving them.

So a transaction takes a handful of statements, however many writes it applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Insert, Update

from gateway.domain.conversations import Claim, Conversation, Lease
from gateway.domain.errors import LeaseLost
from gateway.domain.models import Parking, Turn, TurnId, TurnState
from gateway.domain.shares import Share
from gateway.ports.cluster import ClusterEvent, EventKind
from gateway.ports.leased_writes import (
    AppendAuditEntry,
    FinishTurn,
    GiveBack,
    HoldCalls,
    HoldTurn,
    LeasedWrite,
    ParkTurn,
    ReassignTurn,
    RecordOutcome,
    ReleaseLease,
    SetContext,
    SetOutputs,
    SetPostedMessages,
    SetQuestion,
    SetRun,
    SetThread,
    StartCalls,
    WriteResult,
)
from storage import approvals, handovers, pubsub, row_mapping, sql
from storage.writes import transitions

TurnWrite = (
    ReassignTurn
    | SetRun
    | SetContext
    | RecordOutcome
    | AppendAuditEntry
    | SetPostedMessages
    | HoldCalls
    | StartCalls
    | SetOutputs
    | SetQuestion
    | HoldTurn
    | GiveBack
)
"""A write to the current turn of a conversation, which keeps its lease."""
TurnPosition = tuple[int, int]
"""Conversation id and seq of a turn."""


@dataclass(slots=True)
class LockedConversation:
    """A conversation whose row this transaction has locked, with its values as they will be saved."""

    conversation: Conversation
    head: int
    tail: int
    owner: str | None
    epoch: int
    caller: str
    workspace: str
    claimable_in: float | None = None
    """Seconds until it may be claimed; None: it has no unfinished turn."""
    lease_changed: bool = False
    thread_changed: bool = False
    parking: Parking | None = None
    """Why its current turn waits from now on."""
    given_back_by: Turn | None = None
    """The turn that ends the handover of it to a person."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> LockedConversation:
        """Reads a row of sql.LOCKED_CONVERSATION."""
        return cls(row_mapping.to_conversation(row), *row[len(sql.CONVERSATION) :][:6])

    @property
    def current_position(self) -> TurnPosition:
        return self.conversation.id, self.head + 1

    @property
    def share(self) -> Share:
        return Share(self.caller, self.workspace)

    def is_held_by(self, lease: Lease) -> bool:
        return (self.owner, self.epoch) == (lease.owner, lease.epoch)

    def set_lease(self, owner: str | None, claimable_in: float | None) -> None:
        self.owner, self.claimable_in, self.lease_changed = owner, claimable_in, True


class LeasedWriteBatch:
    """The conversations locked by one transaction, with their current turns. Nothing is stored before ``save``."""

    def __init__(self, connection: Connection, locked_rows: Iterable[Sequence[Any]], lease_seconds: float) -> None:
        """``locked_rows``: rows of sql.LOCKED_CONVERSATION."""
        self._connection = connection
        self._conversations = {row[0]: LockedConversation.from_row(row) for row in locked_rows}
        self._lease_seconds = lease_seconds
        self._turns: dict[TurnPosition, Turn] = {}
        self._stored_turns: dict[TurnPosition, Turn] = {}
        self._awaited_by: dict[TurnPosition, str | None] = {}
        self._events: list[ClusterEvent] = []
        self._former_threads: list[dict[str, Any]] = []
        self._now = 0.0

    @classmethod
    def lock(cls, connection: Connection, writes: Sequence[LeasedWrite], lease_seconds: float) -> LeasedWriteBatch:
        """Locks the conversations of these writes and loads the turns that the writes can refer to."""
        wanted = {change.lease.conversation_id for change in writes}
        batch = cls(
            connection, connection.execute(sql.lock_conversations, {"conversations": list(wanted)}), lease_seconds
        )
        if not all(isinstance(change, SetThread) for change in writes):
            batch._load_next_turns()
        return batch

    # ---------------------------------------------------------------- writes

    def apply(self, write: LeasedWrite) -> WriteResult:
        """Applies one write; returns its result, a LeaseLost if the lease is no longer valid."""
        locked = self._conversations.get(write.lease.conversation_id)
        if locked is None or not locked.is_held_by(write.lease):
            return LeaseLost()
        match write:
            case SetThread():
                self._set_thread(locked, write)
            case FinishTurn():
                return self._finish_turn(locked, write)
            case ReleaseLease():
                self._release_lease(locked, write)
            case ParkTurn():
                self._park_turn(locked, write)
            case _:
                turn = self._current_turn(locked, write.turn.id)
                return self._other_turn(write.turn.id) if turn is None else self._change_turn(locked, turn, write)
        return None

    def _set_thread(self, locked: LockedConversation, write: SetThread) -> None:
        before = locked.conversation
        if before.thread_id not in (None, write.thread_id):
            former = {"thread_id": before.thread_id, "backend": before.backend, "assistant": before.assistant}
            self._former_threads.append({"conversation_id": before.id, **former})
        locked.conversation = replace(
            before, thread_id=write.thread_id, backend=write.backend, assistant=write.assistant
        )
        locked.thread_changed = True

    def _change_turn(self, locked: LockedConversation, turn: Turn, write: TurnWrite) -> Turn:
        """Applies a write to the current turn. Returns the turn as it will be saved."""
        match write:
            case RecordOutcome() | HoldTurn():
                return self._resolve_turn(locked, turn, write)
            case HoldCalls() | StartCalls() | SetOutputs() | SetQuestion():
                return self._change_held_calls(turn, write)
            case GiveBack():
                return self._give_back(locked, turn, write)
            case ReassignTurn():
                changed = transitions.reassigned(turn, write, self._now)
            case SetRun():
                changed = transitions.with_run(turn, write.run_id, self._now)
            case SetContext():
                changed = transitions.with_context(turn, write.context)
            case SetPostedMessages():
                changed = transitions.with_posted_messages(turn, write)
            case AppendAuditEntry():
                changed = transitions.with_audit_entry(turn, write.event, write.detail, self._now)
        return self._set_turn(changed)

    def _change_held_calls(self, turn: Turn, write: HoldCalls | StartCalls | SetOutputs | SetQuestion) -> Turn:
        match write:
            case HoldCalls():
                held = transitions.with_held_calls(turn, write, self._now)
                if held is not turn:
                    approvals.hold(self._connection, write, len(held.rounds) - 1)
                return self._set_turn(held)
            case SetOutputs():
                approvals.expire(self._connection, write)
                return self._set_turn(transitions.with_outputs(turn, write))
            case StartCalls():
                approvals.start(self._connection, write)
            case SetQuestion():
                approvals.set_question(self._connection, write)
        return turn

    def _resolve_turn(self, locked: LockedConversation, turn: Turn, write: RecordOutcome | HoldTurn) -> Turn:
        if not turn.state.is_resolved and self._awaited_by[locked.current_position] not in (None, write.lease.owner):
            self._events.append(ClusterEvent(EventKind.RESOLVED, turn.id))
        if isinstance(write, HoldTurn):
            return self._set_turn(transitions.held(turn, self._now))
        return self._set_turn(transitions.with_outcome(turn, write, self._now))

    def _give_back(self, locked: LockedConversation, turn: Turn, write: GiveBack) -> Turn:
        handover = locked.conversation.handover
        if turn.state is not TurnState.RUNNING or handover is None or handover.seq > turn.seq:
            return turn
        locked.conversation = replace(locked.conversation, handover=None)
        locked.given_back_by = turn
        return turn if write.question is None else self._set_turn(transitions.asking(turn, write.question))

    def _park_turn(self, locked: LockedConversation, write: ParkTurn) -> None:
        turn = self._current_turn(locked, write.turn.id)
        if turn is None or turn.state is not TurnState.RUNNING:
            self._make_claimable(locked, 0.0)
            return
        if self._has_come(write, turn):
            self._set_turn(transitions.released(turn, write.lease.owner, self._now, not_started=write.not_started))
            self._make_claimable(locked, 0.0)
            return
        parked = self._set_turn(transitions.parked(turn, write, self._now))
        behind = {"conversation": turn.conversation_id, "place": turn.seq}
        if self._connection.execute(sql.reset_behind, behind).first() is not None:
            self._set_turn(transitions.cancelled(parked, self._now))
            if self._awaited_by[locked.current_position] is not None:
                self._events.append(ClusterEvent(EventKind.RESOLVED, turn.id))
            self._make_claimable(locked, 0.0)
            return
        locked.parking = parked.parking
        expires_in = max(parked.parking.expires_at - self._now, 0.0) if parked.parking else 0.0
        locked.set_lease(None, min(write.wake_seconds, expires_in))

    def _has_come(self, write: ParkTurn, turn: Turn) -> bool:
        """Returns whether all that the turn is to wait for came since its holder looked."""
        if write.awaits_outputs:
            return not turn.has_open_round
        return write.awaits_approvals and not approvals.has_open(self._connection, turn.id)

    def _finish_turn(self, locked: LockedConversation, write: FinishTurn) -> Claim | None:
        turn = self._current_turn(locked, write.turn.id)
        if turn is not None and turn.state.is_resolved:
            self._set_turn(transitions.finished(turn, write, self._now))
            locked.head = turn.seq
        # Otherwise the turn was finished before and that result was lost on its way: the result is the same.
        ahead = self._next_turn(locked)
        if ahead is None:
            locked.set_lease(None, None)
            return None
        if not write.claim_next:
            self._make_claimable(locked, 0.0)
            return None
        locked.set_lease(write.lease.owner, self._lease_seconds)
        return self._claim_turn(locked, write.lease.owner, ahead)

    def _release_lease(self, locked: LockedConversation, write: ReleaseLease) -> None:
        turn = self._turns.get(locked.current_position)
        if turn is not None:
            how = {"not_started": write.not_started, "failed": write.failed}
            self._set_turn(transitions.released(turn, write.lease.owner, self._now, **how))
        self._make_claimable(locked, write.delay_seconds)

    def _make_claimable(self, locked: LockedConversation, delay_seconds: float) -> None:
        locked.set_lease(None, delay_seconds)
        if delay_seconds <= 0:
            self._events.append(pubsub.DUE)

    # ---------------------------------------------------------------- claims

    def claim_next_turns(self, owner: str, overdue: Mapping[int, float]) -> list[Claim]:
        """Returns a claim on the next turn of each conversation, all claimed by ``owner``; oldest turn first.

        ``overdue``: by conversation, for how many seconds it has been due.
        """
        self._load_next_turns()
        claims = []
        for locked in self._conversations.values():
            head, turn = locked.head, self._next_turn(locked)
            if turn is None:
                locked.set_lease(None, None)
                continue
            if locked.head != head:
                locked.set_lease(owner, self._lease_seconds)
            claims.append(self._claim_turn(locked, owner, turn, overdue.get(locked.conversation.id, 0.0)))
        return sorted(claims, key=lambda claim: claim.turn.received_at)

    def _claim_turn(self, locked: LockedConversation, owner: str, turn: Turn, overdue: float = 0.0) -> Claim:
        begun = self._set_turn(transitions.claimed(turn, owner, self._now, overdue))
        if turn.awaits_approval:
            approvals.keep_time(self._connection, turn, begun)
        lease = Lease(locked.conversation.id, owner, locked.epoch)
        return Claim(lease, locked.conversation, begun, turn.state is TurnState.QUEUED, locked.share)

    # ---------------------------------------------------------------- turns

    def _current_turn(self, locked: LockedConversation, turn_id: TurnId) -> Turn | None:
        """Returns the turn that a write names, if it is the current turn of its conversation."""
        current = self._turns.get(locked.current_position)
        return current if current is not None and current.id == turn_id else None

    def _other_turn(self, turn_id: TurnId) -> Turn | LeaseLost:
        """Returns a turn that is not the current one, as it is stored; LeaseLost if it does not exist."""
        found = row_mapping.to_turns(self._connection.execute(sql.turn, {"turn": turn_id}).all())
        return found[0] if found else LeaseLost()

    def _next_turn(self, locked: LockedConversation) -> Turn | None:
        """Returns the next turn, if any. Skips a gap in seq, which only a manual change of the database can cause."""
        if locked.head >= locked.tail:
            return None
        if locked.current_position not in self._turns:
            behind = {"conversation": locked.conversation.id, "finished": locked.head}
            found = self._load_turns(self._connection.execute(sql.turn_after_gap, behind))
            locked.head = found[0].seq - 1 if found else locked.tail
        return self._turns.get(locked.current_position)

    def _set_turn(self, turn: Turn) -> Turn:
        self._turns[turn.conversation_id, turn.seq] = turn
        return turn

    def _load_next_turns(self) -> None:
        if self._conversations:
            self._load_turns(self._connection.execute(sql.next_turns, {"conversations": list(self._conversations)}))

    def _load_turns(self, rows_found: Iterable[Sequence[Any]]) -> list[Turn]:
        """Reads rows of sql.TURN followed by the time."""
        turns = []
        for row in rows_found:
            turn = row_mapping.to_turn(row, self._conversations[row[1]].conversation.key)
            self._turns[turn.conversation_id, turn.seq] = self._stored_turns[turn.conversation_id, turn.seq] = turn
            self._awaited_by[turn.conversation_id, turn.seq] = row[row_mapping.AWAITED_BY_INDEX]
            self._now = row[-1]
            turns.append(turn)
        return turns

    # ---------------------------------------------------------------- saving

    def save(self) -> None:
        """Saves what was changed and publishes the events for other processes."""
        by_columns: dict[tuple[str, ...], list[tuple[Turn, dict[str, Any]]]] = {}
        for place, turn in self._turns.items():
            stored = self._stored_turns[place]
            if turn is not stored:
                columns = row_mapping.changed_columns(turn, stored)
                by_columns.setdefault(tuple(columns), []).append((turn, columns))
        for changed in by_columns.values():
            # All with their audit logs if one has a new entry: a second statement would cost more.
            marked = any(
                turn.audit_log is not self._stored_turns[turn.conversation_id, turn.seq].audit_log
                for turn, _ in changed
            )
            rows = [
                _position_parameters(turn) | columns | ({"trail": turn.audit_log} if marked else {})
                for turn, columns in changed
            ]
            self._execute_all(sql.update_turn, rows)
        conversations = self._conversations.values()
        self._execute_all(sql.insert_former_threads, self._former_threads)
        self._execute_all(sql.set_thread, [_thread_parameters(each) for each in conversations if each.thread_changed])
        self._execute_all(sql.set_lease, [_lease_parameters(each) for each in conversations if each.lease_changed])
        parked = [(each.conversation.id, each.parking) for each in conversations if each.parking is not None]
        self._execute_all(sql.park, [_park_parameters(*each) for each in parked])
        for each in conversations:
            if each.given_back_by is not None:
                handovers.end(self._connection, each.given_back_by, self._now)
        pubsub.publish(self._connection, self._events)

    def _execute_all(self, statement: Update | Insert, parameters: list[dict[str, Any]]) -> None:
        if parameters:
            self._connection.execute(statement, parameters)


def _position_parameters(turn: Turn) -> dict[str, Any]:
    return {"conversation": turn.conversation_id, "place": turn.seq}


def _thread_parameters(locked: LockedConversation) -> dict[str, Any]:
    conversation = locked.conversation
    opener = {"opener": conversation.backend, "whose": conversation.assistant}
    return {"conversation": conversation.id, "thread": conversation.thread_id, **opener}


def _park_parameters(conversation_id: int, parking: Parking) -> dict[str, Any]:
    return {
        "conversation": conversation_id,
        "since": parking.since,
        "woken_by": parking.key,
        "reason": parking.reason,
    }


def _lease_parameters(locked: LockedConversation) -> dict[str, Any]:
    return {
        "conversation": locked.conversation.id,
        "finished": locked.head,
        "holder": locked.owner,
        "wait": locked.claimable_in,
        "of": "" if locked.claimable_in is None else locked.caller,
    }
