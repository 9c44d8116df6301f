"""Applies the writes of lease holders in memory, between loading conversations and turns and saving them.

So a transaction takes a handful of statements, however many writes it applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Insert, Update

from gateway.domain.errors import LeaseLost
from gateway.domain.models import Claim, Conversation, Lease, Turn, TurnId, TurnState
from gateway.ports.store import (
    Bound,
    Brought,
    Change,
    Finished,
    Marked,
    News,
    Notice,
    Released,
    Result,
    Settled,
    Started,
)
from storage import pubsub, row_mapping, sql, transitions

Place = tuple[int, int]
"""Conversation id and seq of a turn."""


@dataclass(slots=True)
class Held:
    """A conversation whose row this transaction has locked, with its values as they will be saved."""

    conversation: Conversation
    head: int
    tail: int
    owner: str | None
    epoch: int
    wait: float | None = None
    """Seconds until it may be claimed; None: it has no unfinished turn."""
    moved: bool = False
    bound: bool = False

    @classmethod
    def read(cls, row: Sequence[Any]) -> Held:
        """Reads a row of sql.LOCKED_CONVERSATION."""
        return cls(row_mapping.conversation_of(row), *row[8:12])

    @property
    def front(self) -> Place:
        return self.conversation.id, self.head + 1

    def permits(self, lease: Lease) -> bool:
        return (self.owner, self.epoch) == (lease.owner, lease.epoch)

    def move(self, owner: str | None, wait: float | None) -> None:
        self.owner, self.wait, self.moved = owner, wait, True


class Batch:
    """The conversations locked by one transaction, with their current turns. Nothing is stored before ``save``."""

    def __init__(self, connection: Connection, locked: Iterable[Sequence[Any]], lease_seconds: float) -> None:
        """``locked_rows``: rows of sql.LOCKED_CONVERSATION."""
        self._connection = connection
        self._held = {row[0]: Held.read(row) for row in locked}
        self._lease_seconds = lease_seconds
        self._turns: dict[Place, Turn] = {}
        self._stored: dict[Place, Turn] = {}
        self._awaited: dict[Place, str | None] = {}
        self._notices: list[Notice] = []
        self._former: list[dict[str, Any]] = []
        self._at = 0.0

    @classmethod
    def hold(cls, connection: Connection, changes: Sequence[Change], lease_seconds: float) -> Batch:
        """Locks the conversations of these writes and loads the turns that the writes can refer to."""
        wanted = {change.lease.conversation for change in changes}
        batch = cls(connection, connection.execute(sql.hold, {"conversations": list(wanted)}), lease_seconds)
        if not all(isinstance(change, Bound) for change in changes):
            batch._load_ahead()
        return batch

    # ---------------------------------------------------------------- writes

    def apply(self, change: Change) -> Result:
        """Applies one write; returns its result, a LeaseLost if the lease is no longer valid."""
        locked = self._held.get(change.lease.conversation)
        if locked is None or not locked.permits(change.lease):
            return LeaseLost()
        match change:
            case Bound():
                self._bind(locked, change)
            case Started():
                self._start(locked, change)
            case Settled():
                return self._settle(locked, change)
            case Brought():
                self._bring(locked, change)
            case Marked():
                self._mark(locked, change)
            case Finished():
                return self._finish(locked, change)
            case Released():
                self._release(locked, change)
        return None

    def _bind(self, locked: Held, change: Bound) -> None:
        before = locked.conversation
        if before.thread not in (None, change.thread):
            former = {"conversation_id": before.id, "thread_id": before.thread, "backend": before.backend}
            self._former.append(former)
        locked.conversation = replace(locked.conversation, thread=change.thread, backend=change.backend)
        locked.bound = True

    def _start(self, locked: Held, change: Started) -> None:
        turn = self._current(locked, change.turn)
        if turn is not None:
            self._put(transitions.running(turn, change.run_id, self._at))

    def _mark(self, locked: Held, change: Marked) -> None:
        turn = self._current(locked, change.turn)
        if turn is not None:
            self._put(transitions.marked(turn, change.mark, change.detail, self._at))

    def _settle(self, locked: Held, change: Settled) -> Turn | LeaseLost:
        turn = self._current(locked, change.turn)
        if turn is None:
            return self._elsewhere(change.turn) or LeaseLost()
        settled = self._put(transitions.settled(turn, change, self._at))
        if not turn.state.decided and self._awaited[locked.front] not in (None, change.lease.owner):
            self._notices.append(Notice(News.DECIDED, turn.id))
        return settled

    def _bring(self, locked: Held, change: Brought) -> None:
        turn = self._current(locked, change.turn)
        if turn is not None:
            self._put(transitions.shown(turn, change))

    def _finish(self, locked: Held, change: Finished) -> Claim | None:
        turn = self._current(locked, change.turn)
        if turn is not None and turn.state.decided:
            self._put(transitions.brought(turn, change, self._at))
            locked.head = turn.seq
        # Otherwise the turn was finished before and that result was lost on its way: the result is the same.
        ahead = self._ahead(locked)
        if ahead is None:
            locked.move(None, None)
            return None
        if not change.keep:
            self._give_up(locked, 0.0)
            return None
        locked.move(change.lease.owner, self._lease_seconds)
        return self._claim(locked, change.lease.owner, ahead)

    def _release(self, locked: Held, change: Released) -> None:
        turn = self._turns.get(locked.front)
        if turn is not None:
            self._put(transitions.handed_back(turn, change.lease.owner, self._at, fresh=change.fresh))
        self._give_up(locked, change.after)

    def _give_up(self, locked: Held, after: float) -> None:
        locked.move(None, after)
        if after <= 0:
            self._notices.append(pubsub.DUE)

    # ---------------------------------------------------------------- claims

    def claim_all(self, owner: str) -> list[Claim]:
        """Returns a claim on the next turn of each conversation, all claimed by ``owner``; oldest turn first."""
        self._load_ahead()
        claims = []
        for locked in self._held.values():
            head, turn = locked.head, self._ahead(locked)
            if turn is None:
                locked.move(None, None)
                continue
            if locked.head != head:
                locked.move(owner, self._lease_seconds)
            claims.append(self._claim(locked, owner, turn))
        return sorted(claims, key=lambda claim: claim.turn.received_at)

    def _claim(self, locked: Held, owner: str, turn: Turn) -> Claim:
        begun = self._put(transitions.begun(turn, owner, self._at))
        lease = Lease(locked.conversation.id, owner, locked.epoch)
        return Claim(lease, locked.conversation, begun, fresh=turn.state is TurnState.QUEUED)

    # ---------------------------------------------------------------- turns

    def _current(self, locked: Held, turn: TurnId) -> Turn | None:
        """Returns the turn that a write names, if it is the current turn of its conversation."""
        current = self._turns.get(locked.front)
        return current if current is not None and current.id == turn else None

    def _elsewhere(self, turn: TurnId) -> Turn | None:
        found = row_mapping.turns_of(self._connection.execute(sql.turn, {"turn": turn}).all())
        return found[0] if found else None

    def _ahead(self, locked: Held) -> Turn | None:
        """Returns the next turn, if any. Skips a gap in seq, which only a manual change of the database can cause."""
        if locked.head >= locked.tail:
            return None
        if locked.front not in self._turns:
            behind = {"conversation": locked.conversation.id, "finished": locked.head}
            found = self._load(self._connection.execute(sql.turn_behind_gap, behind))
            locked.head = found[0].seq - 1 if found else locked.tail
        return self._turns.get(locked.front)

    def _put(self, turn: Turn) -> Turn:
        self._turns[turn.conversation, turn.seq] = turn
        return turn

    def _load_ahead(self) -> None:
        if self._held:
            self._load(self._connection.execute(sql.turns_ahead, {"conversations": list(self._held)}))

    def _load(self, found: Iterable[Sequence[Any]]) -> list[Turn]:
        """Reads rows of sql.TURN followed by the time."""
        turns = []
        for row in found:
            turn = row_mapping.turn_of(row, self._held[row[1]].conversation.key)
            self._turns[turn.conversation, turn.seq] = self._stored[turn.conversation, turn.seq] = turn
            self._awaited[turn.conversation, turn.seq] = row[row_mapping.AWAITED_AT]
            self._at = row[-1]
            turns.append(turn)
        return turns

    # ---------------------------------------------------------------- saving

    def save(self) -> None:
        """Saves what was changed and publishes the events for other processes."""
        by_columns: dict[tuple[bool, bool], list[Turn]] = {}
        for place, turn in self._turns.items():
            stored = self._stored[place]
            if turn is not stored:
                kind = turn.answered_at != stored.answered_at, turn.parts != stored.parts
                by_columns.setdefault(kind, []).append(turn)
        for (answered, noted), changed in by_columns.items():
            # All with their audit logs if one has a new entry: a second statement would cost more.
            marked = any(turn.trail is not self._stored[turn.conversation, turn.seq].trail for turn in changed)
            columns = partial(row_mapping.changed, answered=answered, noted=noted, marked=marked)
            self._each(sql.save, [_place(turn) | columns(turn) for turn in changed])
        conversations = self._held.values()
        self._each(sql.part, self._former)
        self._each(sql.bind, [_thread(each) for each in conversations if each.bound])
        self._each(sql.move, [_move(each) for each in conversations if each.moved])
        pubsub.tell(self._connection, self._notices)

    def _each(self, statement: Update | Insert, parameters: list[dict[str, Any]]) -> None:
        if parameters:
            self._connection.execute(statement, parameters)


def _place(turn: Turn) -> dict[str, Any]:
    return {"conversation": turn.conversation, "place": turn.seq}


def _thread(locked: Held) -> dict[str, Any]:
    conversation = locked.conversation
    return {"conversation": conversation.id, "thread": conversation.thread, "opener": conversation.backend}


def _move(locked: Held) -> dict[str, Any]:
    return {
        "conversation": locked.conversation.id,
        "finished": locked.head,
        "holder": locked.owner,
        "wait": locked.wait,
    }
