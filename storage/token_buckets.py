"""The token buckets on SQLAlchemy: rate limits that all processes on one database share, each by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from gateway.ports.token_buckets import Rate, TokenRequest
from storage.connecting.database import Database
from storage.driver_sql import DriverStatement
from storage.upserts import UPSERTS


@cache
def _take_token_statement(kind: str) -> DriverStatement:
    return DriverStatement(UPSERTS[kind].take_token, kind)


class SqlTokenBuckets:
    """Implements TokenBuckets, and ``block_for`` of Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upserts = UPSERTS[database.kind]
        self._take_token = _take_token_statement(database.kind)

    def take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        wait = self._take(TokenRequest(bucket, rate, max_wait))
        return None if wait is None else max(0.0, wait)

    def take_tokens(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        # In the order of names, as every transaction does: two of them cannot wait for each other's buckets.
        if len(requests) == 1:  # one statement, without BEGIN and COMMIT
            return (self._take(requests[0]),)
        if not requests:
            return ()
        order = sorted(range(len(requests)), key=lambda index: requests[index].bucket)
        waits: list[float | None] = [None] * len(requests)
        with self._database.driver_transaction() as (_, cursor):
            rows = self._take_token.fetch_each(cursor, [_parameters(requests[index]) for index in order])
            for index, row in zip(order, rows, strict=True):
                waits[index] = None if row is None else _rounded(row[0])
        return waits

    def _take(self, request: TokenRequest) -> float | None:
        with self._database.single_write() as connection:
            wait = connection.execute(self._upserts.take_token, _parameters(request)).scalar()
        return None if wait is None else _rounded(wait)

    def block_for(self, bucket: str, seconds: float) -> None:
        with self._database.single_write() as connection:
            connection.execute(self._upserts.block_bucket, {"bucket": bucket, "wait": seconds})


def _parameters(request: TokenRequest) -> dict[str, Any]:
    rate = request.rate
    return {
        "bucket": request.bucket,
        "every": rate.interval,
        "ahead": (rate.burst - 1) * rate.interval,
        "patience": request.max_wait,
        "count": request.count,
    }


def _rounded(wait: float) -> float:
    """Rounds to microseconds: finer digits are rounding errors of the subtraction."""
    return round(wait, 6)
