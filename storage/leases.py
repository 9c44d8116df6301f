"""The leases on conversations: renewing, writing under a lease, and repair after the clock was set back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from gateway.ports.leased_writes import LeasedWrite, WriteResult
from gateway.ports.store import LeaseRenewal
from storage import parking, sql
from storage.callbacks import shift_callbacks
from storage.connecting.database import Database
from storage.upserts import UPSERTS
from storage.writes.fenced_writes import FencedWriteBatch, fenced_statements_of
from storage.writes.leased_writes import LeasedWriteBatch

REPAIR_BATCH = 50
"""How many conversations are repaired per statement."""


class SqlLeases:
    """Implements the methods of Store that lease holders call."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._upserts = UPSERTS[database.kind]
        self._fenced = fenced_statements_of(database.kind)
        self._lease_seconds = lease_seconds

    def wake(self, key: str, limit: int = 1) -> int:
        with self._database.transaction() as connection:
            return parking.wake(connection, key, limit)

    def renew_leases(self, owner: str, conversation_ids: Collection[int] | None = None) -> LeaseRenewal:
        """``conversation_ids``: only leases on these; one that the owner does not know of expires."""
        parameters: dict[str, Any] = {"holder": owner, "wait": self._lease_seconds}
        statement = sql.renew
        if conversation_ids is not None:
            statement, parameters["among"] = sql.renew_some, list(conversation_ids)
        with self._database.single_write() as connection:
            held = frozenset(connection.execute(statement, parameters).scalars())
        if not held:
            return LeaseRenewal(held, frozenset())
        with self._database.read() as connection:
            cancelled = frozenset(connection.execute(sql.cancelled_while_running, {"holder": owner}).scalars())
        return LeaseRenewal(held, cancelled)

    def apply_writes(self, writes: Sequence[LeasedWrite]) -> Sequence[WriteResult]:
        if not writes:
            return ()
        with self._database.driver_transaction() as (connection, cursor):
            results = FencedWriteBatch(connection, cursor, self._fenced, self._lease_seconds).apply(writes)
            left = [index for index in range(len(writes)) if index not in results]
            if left:
                batch = LeasedWriteBatch.lock(connection, [writes[index] for index in left], self._lease_seconds)
                results.update((index, batch.apply(writes[index])) for index in left)
                batch.save()
            return [results[index] for index in range(len(writes))]

    def repair_clock_skew(self) -> int:
        for statement in (*self._upserts.shift_times, shift_callbacks):
            with self._database.single_write() as connection:
                connection.execute(statement)
        parameters, repaired = {"wait": self._lease_seconds, "most": REPAIR_BATCH}, 0
        while True:
            with self._database.single_write() as connection:
                found = len(connection.execute(sql.repair_next_at, parameters).all())
            repaired += found
            if found < REPAIR_BATCH:
                return repaired
