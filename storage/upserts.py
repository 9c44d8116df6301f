"""The statements with ON CONFLICT, which SQLAlchemy has an insert construct of its own for in each dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, ColumnElement, Double, Table, Update, bindparam, func, or_, select, update

from storage.clock import clock, seconds_from_now
from storage.dialects import PerDialect, insert_of
from storage.sql import APPEND_VALUES, CONVERSATION, KEY, SLOT, C, T
from storage.tables.column_types import SafeText
from storage.tables.schema import conversations, facts, leases, limits, turns, verdicts

_interval = bindparam("every", type_=Double)
_taken = _interval * bindparam("count", type_=Double)
_burst_start = clock() - bindparam("ahead", type_=Double)
"""The start of a token bucket that was not used lately: far enough back that a burst is valid at once."""
_feedback_row = (
    # The lock keeps the turn from being deleted meanwhile.
    select(T.id, bindparam("critic", type_=SafeText), bindparam("opinion", type_=SafeText), clock())
    .where(T.id == bindparam("turn"))
    .with_for_update(read=True, key_share=True)
)


def _shifted(
    at: ColumnElement[float], seen_at: ColumnElement[float | None], latest: Callable[..., ColumnElement[float]]
) -> ColumnElement[float]:
    """Returns a stored time, as far ahead of now as when it was written, if the clock was set back since."""
    return at - latest(func.coalesce(seen_at, 0.0) - clock(), 0.0)


def _shift_times(table: Table, at: Column[float], shifted: ColumnElement[float]) -> Update:
    seen_at, name = table.c.seen_at, table.c.name
    late = select(name).where(seen_at > clock()).order_by(name).with_for_update(skip_locked=True).cte("late")
    return update(table).where(name.in_(select(late.c.name))).values({at: shifted, seen_at: clock()})


def upsert(insert: Any) -> Any:
    """Returns an upsert that replaces the row with the same key."""
    values = {column.name: insert.excluded[column.name] for column in insert.table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=insert.table.primary_key, set_=values)


class Upserts:
    """The statements of one dialect."""

    def __init__(self, kind: str) -> None:
        insert = insert_of(kind)
        latest: Callable[..., ColumnElement[float]] = func.greatest if kind == "postgresql" else func.max
        """The dialect's SQL function for the maximum of several values."""
        at = _shifted(limits.c.at, limits.c.seen_at, latest)
        until = _shifted(leases.c.until, leases.c.seen_at, latest)
        self.append_turn = _append_turn(insert)
        self.insert_turn = insert(turns).on_conflict_do_nothing().inline().execution_options(preserve_rowcount=True)
        self.insert_imported = _insert_imported(insert)
        self.insert_value = insert(facts).on_conflict_do_nothing().inline()
        self.set_value = upsert(insert(facts)).inline()
        self.set_feedback = _set_feedback(insert)
        self.take_token = _take_token(insert, at, latest)
        self.block_bucket = _block_bucket(insert, at, latest)
        self.take_lock = _take_lock(insert, until)
        self.shift_times = (_shift_times(limits, limits.c.at, at), _shift_times(leases, leases.c.until, until))
        """After the clock was set back: makes stored times as far ahead of now as they were when written."""


def _append_turn(insert: Callable[..., Any]) -> Any:
    return (
        insert(conversations)
        .values(head=0, tail=1, next_at=clock(), epoch=0, created_at=clock())
        .on_conflict_do_update(index_elements=KEY, set_=APPEND_VALUES)
        .returning(*SLOT)
    )


def _insert_imported(insert: Callable[..., Any]) -> Any:
    return (
        insert(conversations)
        .values(epoch=0, created_at=clock())
        .on_conflict_do_nothing()
        .returning(*CONVERSATION, C.created_at)
    )


def _set_feedback(insert: Callable[..., Any]) -> Any:
    statement = upsert(insert(verdicts).from_select(["turn_id", "author", "value", "at"], _feedback_row))
    return statement.execution_options(preserve_rowcount=True)


def _take_token(
    insert: Callable[..., Any], at: ColumnElement[float], latest: Callable[..., ColumnElement[float]]
) -> Any:
    return (
        insert(limits)
        .values(name=bindparam("bucket"), at=_burst_start + _taken, seen_at=clock())
        .on_conflict_do_update(
            index_elements=limits.primary_key,
            set_={"at": latest(at, _burst_start) + _taken, "seen_at": clock()},
            where=at <= seconds_from_now("patience"),
        )
        .returning((limits.c.at - _taken - clock()).label("wait"))
    )


def _block_bucket(
    insert: Callable[..., Any], at: ColumnElement[float], latest: Callable[..., ColumnElement[float]]
) -> Any:
    return (
        insert(limits)
        .values(name=bindparam("bucket"), at=seconds_from_now("wait"), seen_at=clock())
        .on_conflict_do_update(
            index_elements=limits.primary_key,
            set_={"at": latest(at, seconds_from_now("wait")), "seen_at": clock()},
        )
        .inline()
    )


def _take_lock(insert: Callable[..., Any], until: ColumnElement[float]) -> Any:
    taken = {"owner": bindparam("holder"), "until": seconds_from_now("wait"), "seen_at": clock()}
    return (
        insert(leases)
        .values(name=bindparam("lease"), **taken)
        .on_conflict_do_update(
            index_elements=leases.primary_key,
            set_=taken,
            where=or_(leases.c.owner == bindparam("holder"), until <= clock()),
        )
        .returning(leases.c.name)
    )


UPSERTS = PerDialect(Upserts)
