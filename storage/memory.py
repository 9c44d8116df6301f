"""What is kept beside conversations and turns: facts, leases and places under limits, each by its name."""

from __future__ import annotations

from gateway.storing import Rate
from storage import statements
from storage.database import Database


class SqlMemory:
    """Implements gateway.storing.Memory, and the limits of gateway.storing.Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inserts = statements.INSERTS[database.kind]

    # ---------------------------------------------------------------- facts

    def recall(self, name: str) -> str | None:
        with self._database.reading() as connection:
            return connection.execute(statements.recall, {"fact": name}).scalar()

    def remember(self, name: str, value: str) -> str:
        with self._database.writing() as connection:
            connection.execute(self._inserts.fact, {"name": name, "value": value})
            kept: str = connection.execute(statements.recall, {"fact": name}).scalar_one()
            return kept

    def keep(self, name: str, value: str) -> None:
        with self._database.writing_once() as connection:
            connection.execute(self._inserts.keep, {"name": name, "value": value})

    def discard(self, name: str) -> bool:
        with self._database.writing_once() as connection:
            return connection.execute(statements.discard, {"fact": name}).rowcount > 0

    # ---------------------------------------------------------------- leases

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        """To give one up is False when there is none of this owner."""
        wanted = {"lease": name, "holder": owner}
        with self._database.writing_once() as connection:
            if seconds <= 0:
                return connection.execute(statements.give_up, wanted).rowcount > 0
            return connection.execute(self._inserts.lease, wanted | {"wait": seconds}).scalar() is not None

    # ---------------------------------------------------------------- limits

    def reserve(self, bucket: str, rate: Rate, patience: float) -> float | None:
        ahead = (rate.burst - 1) * rate.every
        wanted = {"bucket": bucket, "every": rate.every, "ahead": ahead, "patience": patience}
        with self._database.writing_once() as connection:
            wait = connection.execute(self._inserts.place, wanted).scalar()
        # To the microsecond: what is finer comes from the size of the numbers that were subtracted.
        return None if wait is None else max(0.0, round(wait, 6))

    def hold_off(self, bucket: str, seconds: float) -> None:
        with self._database.writing_once() as connection:
            connection.execute(self._inserts.pause, {"bucket": bucket, "wait": seconds})
