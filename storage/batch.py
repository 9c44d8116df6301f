"""What lease holders change, worked out in memory between loading conversations and turns and saving them.

So a transaction takes a handful of statements, however many changes it makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Insert, Update

from gateway.errors import LeaseLost
from gateway.messages import Claim, Conversation, Lease, Turn, TurnId, TurnState
from gateway.storing import (
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
from storage import notices, rows, statements, steps

Place = tuple[int, int]
"""Conversation and seq of a turn."""


@dataclass(slots=True)
class Held:
    """A conversation whose row this transaction has locked, as it will be saved."""

    conversation: Conversation
    head: int
    tail: int
    owner: str | None
    epoch: int
    wait: float | None = None
    """Seconds until it may be claimed; None: nothing waits in it."""
    moved: bool = False
    bound: bool = False

    @classmethod
    def read(cls, row: Sequence[Any]) -> Held:
        """From a row of statements.HELD."""
        return cls(rows.conversation_of(row), *row[8:12])

    @property
    def front(self) -> Place:
        return self.conversation.id, self.head + 1

    def permits(self, lease: Lease) -> bool:
        return (self.owner, self.epoch) == (lease.owner, lease.epoch)

    def move(self, owner: str | None, wait: float | None) -> None:
        self.owner, self.wait, self.moved = owner, wait, True


class Batch:
    """The conversations that one transaction holds, with the turns they are at. Nothing is stored before ``save``."""

    def __init__(self, connection: Connection, held: Iterable[Sequence[Any]], lease_seconds: float) -> None:
        """``held``: rows of statements.HELD."""
        self._connection = connection
        self._held = {row[0]: Held.read(row) for row in held}
        self._lease_seconds = lease_seconds
        self._turns: dict[Place, Turn] = {}
        self._stored: dict[Place, Turn] = {}
        self._awaited: dict[Place, str | None] = {}
        self._notices: list[Notice] = []
        self._former: list[dict[str, Any]] = []
        self._at = 0.0

    @classmethod
    def hold(cls, connection: Connection, changes: Sequence[Change], lease_seconds: float) -> Batch:
        """Lock the conversations of these changes, and load the turns that the changes can be about."""
        wanted = {change.lease.conversation for change in changes}
        batch = cls(connection, connection.execute(statements.hold, {"conversations": list(wanted)}), lease_seconds)
        if not all(isinstance(change, Bound) for change in changes):
            batch._load_ahead()
        return batch

    # ---------------------------------------------------------------- changes

    def apply(self, change: Change) -> Result:
        held = self._held.get(change.lease.conversation)
        if held is None or not held.permits(change.lease):
            return LeaseLost()
        match change:
            case Bound():
                self._bind(held, change)
            case Started():
                self._start(held, change)
            case Settled():
                return self._settle(held, change)
            case Brought():
                self._bring(held, change)
            case Marked():
                self._mark(held, change)
            case Finished():
                return self._finish(held, change)
            case Released():
                self._release(held, change)
        return None

    def _bind(self, held: Held, change: Bound) -> None:
        before = held.conversation
        if before.thread not in (None, change.thread):
            former = {"conversation_id": before.id, "thread_id": before.thread, "backend": before.backend}
            self._former.append(former)
        held.conversation = replace(held.conversation, thread=change.thread, backend=change.backend)
        held.bound = True

    def _start(self, held: Held, change: Started) -> None:
        turn = self._current(held, change.turn)
        if turn is not None:
            self._put(steps.running(turn, change.run_id, self._at))

    def _mark(self, held: Held, change: Marked) -> None:
        turn = self._current(held, change.turn)
        if turn is not None:
            self._put(steps.marked(turn, change.mark, change.detail, self._at))

    def _settle(self, held: Held, change: Settled) -> Turn | LeaseLost:
        turn = self._current(held, change.turn)
        if turn is None:
            return self._elsewhere(change.turn) or LeaseLost()
        settled = self._put(steps.settled(turn, change, self._at))
        if not turn.state.decided and self._awaited[held.front] not in (None, change.lease.owner):
            self._notices.append(Notice(News.DECIDED, turn.id))
        return settled

    def _bring(self, held: Held, change: Brought) -> None:
        turn = self._current(held, change.turn)
        if turn is not None:
            self._put(steps.shown(turn, change))

    def _finish(self, held: Held, change: Finished) -> Claim | None:
        turn = self._current(held, change.turn)
        if turn is not None and turn.state.decided:
            self._put(steps.brought(turn, change, self._at))
            held.head = turn.seq
        # Any other turn was finished before, and that result got lost on its way: what follows is the same.
        ahead = self._ahead(held)
        if ahead is None:
            held.move(None, None)
            return None
        if not change.keep:
            self._give_up(held, 0.0)
            return None
        held.move(change.lease.owner, self._lease_seconds)
        return self._claim(held, change.lease.owner, ahead)

    def _release(self, held: Held, change: Released) -> None:
        turn = self._turns.get(held.front)
        if turn is not None:
            self._put(steps.handed_back(turn, change.lease.owner, self._at, fresh=change.fresh))
        self._give_up(held, change.after)

    def _give_up(self, held: Held, after: float) -> None:
        held.move(None, after)
        if after <= 0:
            self._notices.append(notices.DUE)

    # ---------------------------------------------------------------- claims

    def claim_all(self, owner: str) -> list[Claim]:
        """A claim on the next turn of each conversation, which ``owner`` has taken; the longest waiting first."""
        self._load_ahead()
        claims = []
        for held in self._held.values():
            head, turn = held.head, self._ahead(held)
            if turn is None:
                held.move(None, None)
                continue
            if held.head != head:
                held.move(owner, self._lease_seconds)
            claims.append(self._claim(held, owner, turn))
        return sorted(claims, key=lambda claim: claim.turn.received_at)

    def _claim(self, held: Held, owner: str, turn: Turn) -> Claim:
        begun = self._put(steps.begun(turn, owner, self._at))
        lease = Lease(held.conversation.id, owner, held.epoch)
        return Claim(lease, held.conversation, begun, fresh=turn.state is TurnState.QUEUED)

    # ---------------------------------------------------------------- turns

    def _current(self, held: Held, turn: TurnId) -> Turn | None:
        """The turn that a change names, if it is the one its conversation is at."""
        current = self._turns.get(held.front)
        return current if current is not None and current.id == turn else None

    def _elsewhere(self, turn: TurnId) -> Turn | None:
        found = rows.turns_of(self._connection.execute(statements.turn, {"turn": turn}).all())
        return found[0] if found else None

    def _ahead(self, held: Held) -> Turn | None:
        """The next turn, if one waits. Steps over a gap, which only a hand in the database can have made."""
        if held.head >= held.tail:
            return None
        if held.front not in self._turns:
            behind = {"conversation": held.conversation.id, "finished": held.head}
            found = self._load(self._connection.execute(statements.turn_behind_gap, behind))
            held.head = found[0].seq - 1 if found else held.tail
        return self._turns.get(held.front)

    def _put(self, turn: Turn) -> Turn:
        self._turns[turn.conversation, turn.seq] = turn
        return turn

    def _load_ahead(self) -> None:
        if self._held:
            self._load(self._connection.execute(statements.turns_ahead, {"conversations": list(self._held)}))

    def _load(self, found: Iterable[Sequence[Any]]) -> list[Turn]:
        """From rows of statements.TURN with the time behind it."""
        turns = []
        for row in found:
            turn = rows.turn_of(row, self._held[row[1]].conversation.key)
            self._turns[turn.conversation, turn.seq] = self._stored[turn.conversation, turn.seq] = turn
            self._awaited[turn.conversation, turn.seq] = row[rows.AWAITED_AT]
            self._at = row[-1]
            turns.append(turn)
        return turns

    # ---------------------------------------------------------------- saving

    def save(self) -> None:
        """And tell other processes what they have to know of it."""
        alike: dict[tuple[bool, bool], list[Turn]] = {}
        for place, turn in self._turns.items():
            stored = self._stored[place]
            if turn is not stored:
                kind = turn.answered_at != stored.answered_at, turn.parts != stored.parts
                alike.setdefault(kind, []).append(turn)
        for (answered, noted), changed in alike.items():
            # All of them with their trails if one has a new line: one statement more would cost more.
            marked = any(turn.trail is not self._stored[turn.conversation, turn.seq].trail for turn in changed)
            columns = partial(rows.changed, answered=answered, noted=noted, marked=marked)
            self._each(statements.save, [_place(turn) | columns(turn) for turn in changed])
        held = self._held.values()
        self._each(statements.part, self._former)
        self._each(statements.bind, [_thread(each) for each in held if each.bound])
        self._each(statements.move, [_move(each) for each in held if each.moved])
        notices.tell(self._connection, self._notices)

    def _each(self, statement: Update | Insert, parameters: list[dict[str, Any]]) -> None:
        if parameters:
            self._connection.execute(statement, parameters)


def _place(turn: Turn) -> dict[str, Any]:
    return {"conversation": turn.conversation, "place": turn.seq}


def _thread(held: Held) -> dict[str, Any]:
    conversation = held.conversation
    return {"conversation": conversation.id, "thread": conversation.thread, "opener": conversation.backend}


def _move(held: Held) -> dict[str, Any]:
    return {"conversation": held.conversation.id, "finished": held.head, "holder": held.owner, "wait": held.wait}
