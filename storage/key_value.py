"""What is stored beside conversations and turns, each by name: values, locks and token buckets."""

from __future__ import annotations

from gateway.ports.store import Rate
from storage import sql
from storage.database import Database


class SqlMemory:
    """Implements KeyValueStore, and the token buckets of Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inserts = sql.INSERTS[database.kind]

    # ---------------------------------------------------------------- values

    def recall(self, name: str) -> str | None:
        with self._database.reading() as connection:
            return connection.execute(sql.recall, {"fact": name}).scalar()

    def remember(self, name: str, value: str) -> str:
        with self._database.writing() as connection:
            connection.execute(self._inserts.fact, {"name": name, "value": value})
            kept: str = connection.execute(sql.recall, {"fact": name}).scalar_one()
            return kept

    def keep(self, name: str, value: str) -> None:
        with self._database.writing_once() as connection:
            connection.execute(self._inserts.keep, {"name": name, "value": value})

    def discard(self, name: str) -> bool:
        with self._database.writing_once() as connection:
            return connection.execute(sql.discard, {"fact": name}).rowcount > 0

    # ---------------------------------------------------------------- locks

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Releasing a lock returns False when this owner does not have it."""
        parameters = {"lease": name, "holder": owner}
        with self._database.writing_once() as connection:
            if seconds <= 0:
                return connection.execute(sql.give_up, parameters).rowcount > 0
            return connection.execute(self._inserts.lease, parameters | {"wait": seconds}).scalar() is not None

    # ---------------------------------------------------------------- token buckets

    def reserve(self, bucket: str, rate: Rate, patience: float) -> float | None:
        ahead = (rate.burst - 1) * rate.every
        parameters = {"bucket": bucket, "every": rate.every, "ahead": ahead, "patience": patience}
        with self._database.writing_once() as connection:
            wait = connection.execute(self._inserts.place, parameters).scalar()
        # Rounded to microseconds: finer digits are rounding errors of the subtraction.
        return None if wait is None else max(0.0, round(wait, 6))

    def hold_off(self, bucket: str, seconds: float) -> None:
        with self._database.writing_once() as connection:
            connection.execute(self._inserts.pause, {"bucket": bucket, "wait": seconds})
