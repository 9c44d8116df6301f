"""Callbacks on SQLAlchemy."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Double, bindparam, delete, func, literal, null, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from gateway.ports.callbacks import FEEDBACK, Callback
from storage.clock import clock
from storage.connecting.database import Database
from storage.dialects import PerDialect, insert_of
from storage.reporting_sql import position_of
from storage.sql import on_platform
from storage.tables.column_types import SafeText
from storage.tables.program_tables import callbacks
from storage.tables.schema import turns

K = callbacks.c
DELIVERED_KEEP_SECONDS = 86_400.0
DEAD_KEEP_SECONDS = 30 * 86_400.0

CALLBACK = (
    *(K.id, K.lane, K.url, K.event, K.turn_id, K.body, K.attempts, K.error),
    *(K.created_at, K.retried_since, K.next_at, K.delivered_at, K.dead_at),
)
_before = callbacks.alias("before")
_is_behind = (
    select(_before.c.number)
    .where(_before.c.lane == K.lane, _before.c.number < K.number, _before.c.next_at.is_not(None))
    .exists()
)
_due = (
    select(K.number)
    .where(K.next_at <= select(clock()).scalar_subquery(), ~_is_behind)
    .order_by(K.next_at, K.number)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_mine = (
    update(callbacks)
    .where(K.id == bindparam("callback"), K.attempts == bindparam("attempt"), K.next_at.is_not(None))
    .execution_options(preserve_rowcount=True)
)
_deliver = _mine.values(delivered_at=clock(), next_at=null(), body="", error="")
_put_off = _mine.values(next_at=clock() + bindparam("seconds", type_=Double), error=bindparam("reason", type_=SafeText))
_give_up = _mine.values(dead_at=clock(), next_at=null(), error=bindparam("reason", type_=SafeText))
_waiting = select(func.count()).where(K.lane == bindparam("within", type_=SafeText), K.next_at.is_not(None))
_too_many = (
    update(callbacks)
    .where(K.id == bindparam("callback"))
    .values(dead_at=clock(), next_at=null(), error=bindparam("reason", type_=SafeText))
)
_resend = (
    update(callbacks)
    .where(K.id == bindparam("callback"), K.dead_at.is_not(None))
    .values(dead_at=null(), next_at=clock(), retried_since=clock())
    .execution_options(preserve_rowcount=True)
)
_dead = select(*CALLBACK).where(K.dead_at.is_not(None)).order_by(K.number.desc()).limit(bindparam("most"))
_waiting_ones = select(*CALLBACK).where(K.next_at.is_not(None)).order_by(K.number.desc()).limit(bindparam("most"))
_unfinished = (
    select(*CALLBACK)
    .where(or_(K.dead_at.is_not(None), K.next_at.is_not(None)))
    .order_by(K.number.desc())
    .limit(bindparam("most"))
)
_of_the_future = (
    select(K.number)
    .where(K.next_at.is_not(None), K.created_at > select(clock()).scalar_subquery())
    .with_for_update(skip_locked=True)
    .cte("of_the_future")
)
shift_callbacks = (
    update(callbacks)
    .where(K.number.in_(select(_of_the_future.c.number)))
    .values(next_at=clock() + K.next_at - K.created_at, created_at=clock(), retried_since=clock())
)
"""After the clock was set back: the next attempt is as far away as it was from the beginning."""
purge_callbacks = (
    delete(callbacks).where(K.delivered_at < clock() - DELIVERED_KEEP_SECONDS),
    delete(callbacks).where(K.dead_at < clock() - DEAD_KEEP_SECONDS),
)
_row = (
    # The lock keeps the turn from being deleted meanwhile. What is erased is not to be told any more.
    select(
        *(bindparam(name, type_=SafeText) for name in ("callback", "within", "to", "kind")),
        turns.c.id,
        bindparam("content", type_=SafeText),
        *(clock(), clock(), clock()),
    )
    .where(turns.c.id == bindparam("turn"), turns.c.erased_at.is_(None))
    .with_for_update(read=True, key_share=True)
)


def _claim(spared: Collection[str]) -> ReturningUpdate[Any]:
    due = _due.where(*(~K.url.startswith(each, autoescape=True) for each in spared)).cte("due")
    return (
        update(callbacks)
        .where(K.number.in_(select(due.c.number)))
        .values(attempts=K.attempts + 1, next_at=clock() + bindparam("seconds", type_=Double))
        .returning(*CALLBACK, clock().label("now"))
    )


def _insert(kind: str) -> Any:
    columns = ["id", "lane", "url", "event", "turn_id", "body", "created_at", "retried_since", "next_at"]
    statement = insert_of(kind)(callbacks).from_select(columns, _row).on_conflict_do_nothing()
    return statement.execution_options(preserve_rowcount=True)


INSERTS: Final = PerDialect(_insert)


class SqlCallbacks:
    """Implements Callbacks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, callback: Callback, max_waiting: int) -> None:
        row = {"callback": callback.id, "within": callback.lane, "to": callback.url, "kind": callback.event}
        with self._database.transaction() as connection:
            waiting: int = connection.execute(_waiting, {"within": callback.lane}).scalar_one()
            values = row | {"turn": callback.turn_id, "content": callback.body}
            is_new = connection.execute(INSERTS[connection.dialect.name], values).rowcount > 0
            if is_new and waiting >= max_waiting:
                reason = f"more than {max_waiting} wait for the first one of their thread"
                connection.execute(_too_many, {"callback": callback.id, "reason": reason})

    def claim(self, limit: int, seconds: float, spared: Collection[str] = ()) -> tuple[float, Sequence[Callback]]:
        with self._database.transaction() as connection:
            rows = connection.execute(_claim(spared), {"most": limit, "seconds": seconds}).all()
            return (rows[0][-1] if rows else 0.0), [Callback(*row[:-1]) for row in rows]

    def mark_delivered(self, claimed: Callback) -> bool:
        return self._end_attempt(_deliver, claimed, {})

    def mark_failed(self, claimed: Callback, error: str, wait_seconds: float | None) -> bool:
        if wait_seconds is None:
            return self._end_attempt(_give_up, claimed, {"reason": error})
        return self._end_attempt(_put_off, claimed, {"reason": error, "seconds": wait_seconds})

    def _end_attempt(self, statement: Any, claimed: Callback, values: dict[str, Any]) -> bool:
        parameters = {"callback": claimed.id, "attempt": claimed.attempts, **values}
        with self._database.single_write() as connection:
            return connection.execute(statement, parameters).rowcount > 0

    def listed(self, limit: int, *, dead: bool | None = None) -> Sequence[Callback]:
        found = _unfinished if dead is None else _dead if dead else _waiting_ones
        with self._database.read() as connection:
            rows = connection.execute(found, {"most": limit})
            return [Callback(*row) for row in rows]

    def resend(self, callback_id: str) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(_resend, {"callback": callback_id}).rowcount > 0


def delete_ratings_by(connection: Connection, platform: str, author: str) -> None:
    """Deletes what was to be told of a person's ratings, on any bot of a platform."""
    named = json.dumps({"rating": {"by": author}}, separators=(",", ":"))[1:-2]
    of_platform = select(turns.c.id).where(on_platform(turns.c.platform))
    told = delete(callbacks).where(
        K.event == FEEDBACK, K.turn_id.in_(of_platform), position_of(K.body, literal(named)) > 0
    )
    connection.execute(told, {"on": platform})


def delete_callbacks_of(connection: Connection, which: ColumnElement[bool], parameters: dict[str, Any]) -> None:
    """Deletes what was to be told of the turns that a condition names, in the transaction that erases them."""
    connection.execute(delete(callbacks).where(K.turn_id.in_(select(turns.c.id).where(which))), parameters)
