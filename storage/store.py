"""The Store on SQLAlchemy: SQLite for one process, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from threading import Event
from typing import Any

from gateway.domain.models import Claim, Feedback, Turn, TurnId
from gateway.ports.store import ClusterEvent, LeasedWrite, LeaseRenewal, WriteResult
from storage import pubsub, sql
from storage.budgets import SqlBudgetStore
from storage.database import Database
from storage.enqueue import SqlEnqueue, publish_cancelled
from storage.leased_writes import LeasedWriteBatch
from storage.reporting import SqlReportingStore

REPAIR_BATCH = 50
"""How many conversations are repaired per statement."""


class SqlStore(SqlEnqueue, SqlReportingStore):
    """Implements Store and ReportingStore. Connects at the first call."""

    def __init__(self, url: str, *, lease_seconds: float = 15.0) -> None:
        """Raises SettingsError when the URL is invalid."""
        super().__init__(Database(url), lease_seconds)
        self.ledger = SqlBudgetStore(self._database)
        self.is_shared = self._database.kind == "postgresql"

    # ---------------------------------------------------------------- leases

    def claim(self, owner: str, platforms: Sequence[str], limit: int) -> Sequence[Claim]:
        if limit < 1 or not platforms:
            return ()
        parameters = {"holder": owner, "platforms": list(platforms), "most": limit, "wait": self._lease_seconds}
        with self._database.transaction() as connection:
            claimed = connection.execute(sql.claim_due, parameters).all()
            if not claimed:
                return ()
            batch = LeasedWriteBatch(connection, claimed, self._lease_seconds)
            claims = batch.claim_next_turns(owner)
            batch.save()
            return claims

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
        with self._database.transaction() as connection:
            batch = LeasedWriteBatch.lock(connection, writes, self._lease_seconds)
            results = [batch.apply(change) for change in writes]
            batch.save()
            return results

    def repair_clock_skew(self) -> int:
        for statement in self._upserts.shift_times:
            with self._database.single_write() as connection:
                connection.execute(statement)
        parameters, repaired = {"wait": self._lease_seconds, "most": REPAIR_BATCH}, 0
        while True:
            with self._database.single_write() as connection:
                found = len(connection.execute(sql.repair_next_at, parameters).all())
            repaired += found
            if found < REPAIR_BATCH:
                return repaired

    # ---------------------------------------------------------------- the rest

    def listen(self, on_event: Callable[[ClusterEvent], None], stopped: Event) -> None:
        """Also receives the events of this process."""
        if self.is_shared:
            pubsub.listen(self._database.listen_connection, on_event, stopped)

    def record_feedback(self, feedback: Feedback) -> bool:
        parameters = {"turn": feedback.turn_id, "critic": feedback.author, "opinion": feedback.value}
        with self._database.single_write() as connection:
            return connection.execute(self._upserts.set_feedback, parameters).rowcount > 0

    def cancel_turn(self, turn_id: TurnId) -> Turn | None:
        with self._database.transaction() as connection:
            publish_cancelled(connection, connection.execute(sql.cancel, {"turn": turn_id}).all())
        return self.get_turn(turn_id)

    def delete_conversation(self, conversation_id: int) -> None:
        with self._database.transaction() as connection:
            connection.execute(sql.delete_conversation, {"conversation": conversation_id})
            connection.execute(sql.delete_former_threads, {"conversation": conversation_id})

    def close(self) -> None:
        self._database.close()
