"""What is stored beside conversations and turns, each by name: values, locks and token buckets."""

from __future__ import annotations

from gateway.ports.store import Rate
from storage import sql
from storage.database import Database


class SqlKeyValueStore:
    """Implements KeyValueStore, and the token buckets of Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upserts = sql.UPSERTS[database.kind]

    # ---------------------------------------------------------------- values

    def get_value(self, name: str) -> str | None:
        with self._database.read() as connection:
            return connection.execute(sql.get_value, {"fact": name}).scalar()

    def set_value_if_absent(self, name: str, value: str) -> str:
        with self._database.transaction() as connection:
            connection.execute(self._upserts.insert_value, {"name": name, "value": value})
            kept: str = connection.execute(sql.get_value, {"fact": name}).scalar_one()
            return kept

    def set_value(self, name: str, value: str) -> None:
        with self._database.single_write() as connection:
            connection.execute(self._upserts.set_value, {"name": name, "value": value})

    def delete_value(self, name: str) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(sql.delete_value, {"fact": name}).rowcount > 0

    # ---------------------------------------------------------------- locks

    def try_lock(self, name: str, owner: str, seconds: float) -> bool:
        """Releasing a lock returns False when this owner does not have it."""
        parameters = {"lease": name, "holder": owner}
        with self._database.single_write() as connection:
            if seconds <= 0:
                return connection.execute(sql.release_lock, parameters).rowcount > 0
            return connection.execute(self._upserts.take_lock, parameters | {"wait": seconds}).scalar() is not None

    # ---------------------------------------------------------------- token buckets

    def take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        ahead = (rate.burst - 1) * rate.interval
        parameters = {"bucket": bucket, "every": rate.interval, "ahead": ahead, "patience": max_wait}
        with self._database.single_write() as connection:
            wait = connection.execute(self._upserts.take_token, parameters).scalar()
        # Rounded to microseconds: finer digits are rounding errors of the subtraction.
        return None if wait is None else max(0.0, round(wait, 6))

    def block_for(self, bucket: str, seconds: float) -> None:
        with self._database.single_write() as connection:
            connection.execute(self._upserts.block_bucket, {"bucket": bucket, "wait": seconds})
