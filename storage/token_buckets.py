"""The token buckets on SQLAlchemy: rate limits that all processes on one database share, each by name."""

from __future__ import annotations

from gateway.ports.store import Rate
from storage import sql
from storage.database import Database


class SqlTokenBuckets:
    """Implements TokenBuckets, and ``block_for`` of Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upserts = sql.UPSERTS[database.kind]

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
