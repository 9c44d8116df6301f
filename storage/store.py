"""The Store on SQLAlchemy: SQLite for one process, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from threading import Event
from typing import Any

from gateway.domain.models import Claim, Turn, TurnId, Verdict
from gateway.ports.store import Change, Notice, Renewal, Result
from storage import pubsub, sql
from storage.budgets import SqlLedger
from storage.database import Database
from storage.enqueue import SqlRecording, tell_of_stopped
from storage.leased_writes import Batch
from storage.reporting import SqlCatalogue

MENDS = 50
"""How many conversations are repaired per statement."""


class SqlStore(SqlRecording, SqlCatalogue):
    """Implements Store and ReportingStore. Connects at the first call."""

    def __init__(self, url: str, *, lease_seconds: float = 15.0) -> None:
        """Raises SettingsError when the URL is invalid."""
        super().__init__(Database(url), lease_seconds)
        self.ledger = SqlLedger(self._database)
        self.shared = self._database.kind == "postgresql"

    # ---------------------------------------------------------------- leases

    def claim(self, owner: str, platforms: Sequence[str], limit: int) -> Sequence[Claim]:
        if limit < 1 or not platforms:
            return ()
        parameters = {"holder": owner, "platforms": list(platforms), "most": limit, "wait": self._lease_seconds}
        with self._database.writing() as connection:
            claimed = connection.execute(sql.take, parameters).all()
            if not claimed:
                return ()
            batch = Batch(connection, claimed, self._lease_seconds)
            claims = batch.claim_all(owner)
            batch.save()
            return claims

    def renew(self, owner: str, among: Collection[int] | None = None) -> Renewal:
        """``conversation_ids``: only leases on these; one that the owner does not know of expires."""
        parameters: dict[str, Any] = {"holder": owner, "wait": self._lease_seconds}
        statement = sql.renew
        if among is not None:
            statement, parameters["among"] = sql.renew_some, list(among)
        with self._database.writing_once() as connection:
            held = frozenset(connection.execute(statement, parameters).scalars())
        if not held:
            return Renewal(held, frozenset())
        with self._database.reading() as connection:
            cancelled = frozenset(connection.execute(sql.cancelled, {"holder": owner}).scalars())
        return Renewal(held, cancelled)

    def write(self, changes: Sequence[Change]) -> Sequence[Result]:
        if not changes:
            return ()
        with self._database.writing() as connection:
            batch = Batch.hold(connection, changes, self._lease_seconds)
            results = [batch.apply(change) for change in changes]
            batch.save()
            return results

    def mend(self) -> int:
        for statement in self._inserts.rebase:
            with self._database.writing_once() as connection:
                connection.execute(statement)
        parameters, repaired = {"wait": self._lease_seconds, "most": MENDS}, 0
        while True:
            with self._database.writing_once() as connection:
                found = len(connection.execute(sql.mend, parameters).all())
            repaired += found
            if found < MENDS:
                return repaired

    # ---------------------------------------------------------------- the rest

    def listen(self, hear: Callable[[Notice], None], stopped: Event) -> None:
        """Also receives the events of this process."""
        if self.shared:
            pubsub.listen(self._database.listening, hear, stopped)

    def judge(self, verdict: Verdict) -> bool:
        parameters = {"turn": verdict.turn, "critic": verdict.author, "opinion": verdict.value}
        with self._database.writing_once() as connection:
            return connection.execute(self._inserts.verdict, parameters).rowcount > 0

    def cancel(self, turn: TurnId) -> Turn | None:
        with self._database.writing() as connection:
            tell_of_stopped(connection, connection.execute(sql.cancel, {"turn": turn}).all())
        return self.turn(turn)

    def forget(self, conversation: int) -> None:
        with self._database.writing() as connection:
            connection.execute(sql.forget, {"conversation": conversation})
            connection.execute(sql.forget_former, {"conversation": conversation})

    def close(self) -> None:
        self._database.close()
