"""Claims conversations, with their next turns.

On PostgreSQL in three round trips, however many there are: what is due, the leases with the turns, and the turns as
they are from now on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from gateway.domain.conversations import Claim, Lease
from gateway.domain.models import TurnState
from gateway.ports.store import ANY_PLACES, Places
from storage import approvals, row_mapping
from storage.claiming.claim_sql import statements_of
from storage.claiming.fair_claims import FairPicker
from storage.connecting.database import Database
from storage.driver_sql import Call, Row, run_all
from storage.writes import transitions
from storage.writes.fenced_writes import begun_columns
from storage.writes.leased_writes import LeasedWriteBatch, LockedConversation

MAX_PICKS = 3
"""How often a claim picks again because other processes claimed what it picked."""


class SqlClaims:
    """Implements ``Store.claim``."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._statements = statements_of(database.kind)
        self._picker = FairPicker(self._statements)

    def claim(
        self,
        owner: str,
        platforms: Sequence[str],
        limit: int,
        places: Places = ANY_PLACES,
        waited: float = 0.0,
    ) -> Sequence[Claim]:
        if limit < 1 or not platforms:
            return ()
        with self._database.driver_transaction() as (connection, cursor):
            leased = _Leased()
            for _ in range(MAX_PICKS):
                picked = self._picker.pick(cursor, platforms, limit - len(leased.rows), places, waited)
                if picked:
                    self._lease(cursor, owner, picked, leased)
                if leased.rows.keys() >= picked.keys():
                    break  # else another process may have claimed some of them, and others may wait
            if not leased.rows:
                return ()
            claims = self._begin_turns(connection, cursor, owner, leased)
            return sorted(claims, key=lambda claim: claim.turn.received_at)

    def _lease(self, cursor: Any, owner: str, picked: Mapping[int, float], leased: _Leased) -> None:
        parameters = {"holder": owner, "picked": list(picked), "wait": self._lease_seconds}
        steps = (self._statements.take_leases, self._statements.load_turns)
        rows, turns = run_all(cursor, [Call(step, parameters) for step in steps])
        leased.rows.update((row[0], row) for row in rows)
        leased.turns.update((row[1], row) for row in turns)
        leased.overdue.update(picked)

    def _begin_turns(self, connection: Connection, cursor: Any, owner: str, leased: _Leased) -> list[Claim]:
        """Claims the next turn of each conversation."""
        claims = [
            _claim_of(connection, row, leased.turns[number], owner, leased.overdue[number])
            for number, row in leased.rows.items()
            if number in leased.turns
        ]
        if claims:
            begun = [begun_columns(claim.turn) | {"parking": claim.turn.parking} for claim in claims]
            self._statements.begin_turn.execute_all(cursor, begun)
        others = [row for number, row in leased.rows.items() if number not in leased.turns]
        if others:  # after a manual change of the database only
            batch = LeasedWriteBatch(connection, others, self._lease_seconds)
            claims += batch.claim_next_turns(owner, leased.overdue)
            batch.save()
        return claims


@dataclass(frozen=True, slots=True)
class _Leased:
    """The conversations that a claim has leased so far, by their ids."""

    rows: dict[int, Row] = field(default_factory=dict)
    """Of sql.LOCKED_CONVERSATION."""
    turns: dict[int, Row] = field(default_factory=dict)
    """Of sql.TURN followed by the time. May have more, which this process has leased before."""
    overdue: dict[int, float] = field(default_factory=dict)
    """For how many seconds each has been due."""


def _claim_of(connection: Connection, row: Row, turn_row: Row, owner: str, overdue: float) -> Claim:
    locked = LockedConversation.from_row(row)
    turn = row_mapping.to_turn(turn_row, locked.conversation.key)
    begun = transitions.claimed(turn, owner, turn_row[-1], overdue)
    if turn.awaits_approval:
        approvals.keep_time(connection, turn, begun)
    lease = Lease(locked.conversation.id, owner, locked.epoch)
    return Claim(lease, locked.conversation, begun, turn.state is TurnState.QUEUED, locked.share)
