"""The statements of a claim, compiled once for each kind of database; see fair_claims.py and claims.py.

Each takes its lists as one parameter. So its text is the same however long they are, and the driver prepares it once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Double,
    ScalarSelect,
    Select,
    and_,
    any_,
    bindparam,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from storage import sql
from storage.clock import clock, seconds_from_now
from storage.driver_sql import DriverStatement
from storage.sql import C, T
from storage.tables.column_types import ConvertedText
from storage.tables.schema import conversations, turns

STEPS = 100
"""How many of those who wait one statement looks at."""

_due_now = select(clock()).scalar_subquery()
_waited_now = select(clock() - bindparam("waited", type_=Double)).scalar_subquery()
"""What was due at this time has waited for so many seconds."""
# Written as the conditions of the indexes, so that both databases use these.
_waits = and_(C.owner.is_(None), C.next_at.is_not(None), C.parked_since.is_(None))
_is_timed = and_(C.next_at.is_not(None), or_(C.owner.is_not(None), C.parked_since.is_not(None)))
_within = C.workspace_share == bindparam("within", type_=C.workspace_share.type)


class ListJson(ConvertedText[Sequence[Any]]):
    """A list as JSON, which SQLite reads as a table: it has no arrays."""

    cache_ok = True

    @staticmethod
    def to_sql(value: Sequence[Any]) -> str:
        return json.dumps(list(value))


def _is_in(kind: str, value: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Returns whether a value is in the list that is a parameter."""
    if kind == "postgresql":
        return value == any_(bindparam(name, type_=ARRAY(value.type)))
    listed = func.json_each(bindparam(name, type_=ListJson)).table_valued("value")
    return value.in_(select(listed.c.value))


class ClaimStatements:
    """The statements of one kind of database."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        # Without coalesce, either database may walk through all conversations of the platform by conversations_key.
        of_platforms = _is_in(kind, func.coalesce(C.platform, "", type_=C.platform.type), "platforms")
        self.timed = DriverStatement(_timed(kind, of_platforms), kind)
        self.callers_from_start = DriverStatement(_ring_of_callers(_next(C.share, _within), of_platforms), kind)
        first_after = _next(C.share, _within, C.share > bindparam("after", type_=C.share.type))
        self.callers_after = DriverStatement(_ring_of_callers(first_after, of_platforms), kind)
        self.workspaces_after = DriverStatement(_ring_of_workspaces(), kind)
        of_caller = C.share == bindparam("of", type_=C.share.type)
        oldest = _oldest_of(of_caller, of_platforms).where(C.next_at <= _waited_now).limit(bindparam("most"))
        self.oldest_of_caller = DriverStatement(oldest.with_only_columns(C.id), kind)
        self.take_leases = DriverStatement(_take_leases(kind), kind)
        self.load_turns = DriverStatement(_load_turns(kind), kind)
        self.begin_turn = DriverStatement(_begin_turn, kind)


statements_of = cache(ClaimStatements)
"""The statements of a kind of database, compiled once in a process."""

# ---------------------------------------------------------------- choosing


def _timed(kind: str, of_platforms: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Returns whose lease has expired, and what was parked until now; with how many seconds ago."""
    return (
        select(C.share, C.workspace_share, C.id, _due_now - C.next_at)
        .where(_is_timed, C.next_at <= _due_now, of_platforms)
        .where(not_(_is_in(kind, C.share, "full")), not_(_is_in(kind, C.workspace_share, "full_workspaces")))
        .order_by(C.next_at, C.id)
        .limit(bindparam("most"))
    )


def _next(column: Column[str], *which: ColumnElement[bool]) -> ScalarSelect[str]:
    return select(column).where(_waits, *which).order_by(column).limit(1).scalar_subquery()


def _oldest_of(of_caller: ColumnElement[bool], of_platforms: ColumnElement[bool]) -> Select[int, float | None]:
    waiting = select(C.id, C.next_at).where(_waits, _within, of_caller, of_platforms)
    return waiting.order_by(C.next_at, C.id)


def _ring_of_callers(first: ScalarSelect[str], of_platforms: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Returns callers of a workspace, from a first one on, each with its oldest conversation, and with the one after
    it; NULL if that is not due.
    """
    ring = select(first.label("share"), literal(1).label("step")).cte("ring", recursive=True)
    step = select(_next(C.share, _within, C.share > ring.c.share), ring.c.step + 1)
    ring = ring.union_all(step.where(ring.c.share.is_not(None), ring.c.step < STEPS))
    oldest = _oldest_of(C.share == ring.c.share, of_platforms).correlate(ring).limit(1)
    head, second = (_if_due(one) for one in (oldest, oldest.offset(1)))
    return select(ring.c.share, head, second).where(ring.c.share.is_not(None)).order_by(ring.c.step)


def _if_due(oldest: Select[int, float | None]) -> ScalarSelect[int]:
    """Compares the time outside: inside, PostgreSQL would read and sort all that is due. It takes that for one row."""
    found = oldest.subquery()
    return select(found.c.id).where(found.c.next_at <= _waited_now).scalar_subquery()


def _ring_of_workspaces() -> Select[str]:
    first = _next(C.workspace_share, C.workspace_share > bindparam("after", type_=C.workspace_share.type))
    ring = select(first.label("name"), literal(1).label("step")).cte("ring", recursive=True)
    step = select(_next(C.workspace_share, C.workspace_share > ring.c.name), ring.c.step + 1)
    ring = ring.union_all(step.where(ring.c.name.is_not(None), ring.c.step < STEPS))
    return select(ring.c.name).where(ring.c.name.is_not(None)).order_by(ring.c.step)


# ---------------------------------------------------------------- claiming


def _take_leases(kind: str) -> Any:
    """Leases of what was picked those that nobody else has leased meanwhile."""
    picked = (
        select(C.id)
        .where(_is_in(kind, C.id, "picked"), C.next_at <= _due_now)
        .order_by(C.id)
        .with_for_update(skip_locked=True, key_share=True)
        .cte("picked")
    )
    return (
        update(conversations)
        .where(C.id.in_(select(picked.c.id)))
        .values(owner=bindparam("holder", type_=C.owner.type), epoch=C.epoch + 1, next_at=seconds_from_now("wait"))
        .values(sql.NOT_PARKED)
        .returning(*sql.LOCKED_CONVERSATION)
    )


def _load_turns(kind: str) -> Select[*tuple[Any, ...]]:
    """Returns the next turn of each conversation that was leased, and the time."""
    return (
        select(*sql.TURN, clock().label("at"))
        .join_from(conversations, turns, and_(T.conversation_id == C.id, T.seq == C.head + 1))
        .where(_is_in(kind, C.id, "picked"), C.owner == bindparam("holder", type_=C.owner.type))
        .with_for_update(of=turns)
    )


_begin_turn = (
    update(turns)
    .where(T.conversation_id == bindparam("conversation"), T.seq == bindparam("place"))
    .values(
        {
            column.name: bindparam(column.name, type_=column.type)
            for column in (T.state, T.attempts, T.started_at, T.trail, T.parking)
        }
    )
)
"""Saves what ``transitions.claimed`` changes."""
