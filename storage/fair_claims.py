"""Picks the conversations that a process claims next: in turn over those who wait, not over their messages.

The shares that wait are walked in the order of an index, from where the claim before stopped. Each step is one look
into the index, whatever lies behind it: a share with thousands of conversations takes as long as one with a single one.
What is leased or parked has an index of its own, by time, so neither is in the way of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, and_, bindparam, func, literal, or_, select

from gateway.ports.store import Places
from storage.sql import C, clock

MAX_STEPS = 500
"""How many shares one claim looks at. The next claim goes on from there."""

_due_now = select(clock()).scalar_subquery()
# Written as the conditions of the indexes, so that both databases use these.
_waits = and_(C.owner.is_(None), C.next_at.is_not(None), C.parked_since.is_(None))
_is_timed = and_(C.next_at.is_not(None), or_(C.owner.is_not(None), C.parked_since.is_not(None)))


def _of_platforms(platform: ColumnElement[str]) -> ColumnElement[bool]:
    # Without coalesce, SQLite would walk through all conversations of the platform by conversations_key.
    return func.coalesce(platform, "").in_(bindparam("platforms", expanding=True))


timed = (
    select(C.share, C.id)
    .where(
        _is_timed, C.next_at <= _due_now, _of_platforms(C.platform), C.share.not_in(bindparam("full", expanding=True))
    )
    .order_by(C.next_at, C.id)
    .limit(bindparam("most"))
)
"""Whose lease has expired, and what was parked until now."""


def _next_share(*which: ColumnElement[bool]) -> ScalarSelect[str]:
    return select(C.share).where(_waits, *which).order_by(C.share).limit(1).scalar_subquery()


def _ring(first: ScalarSelect[str]) -> Select[str, int | None]:
    """Returns the shares that wait, from a first one on, each with its oldest conversation; NULL if that is not due."""
    ring = select(first.label("share"), literal(1).label("step")).cte("ring", recursive=True)
    step = select(_next_share(C.share > ring.c.share), ring.c.step + 1).where(
        ring.c.share.is_not(None), ring.c.step < MAX_STEPS
    )
    ring = ring.union_all(step)
    head = (
        select(C.id)
        .where(_waits, C.share == ring.c.share, C.next_at <= _due_now, _of_platforms(C.platform))
        .order_by(C.next_at, C.id)
        .limit(1)
        .scalar_subquery()
    )
    return select(ring.c.share, head).where(ring.c.share.is_not(None)).order_by(ring.c.step)


ring_from_start = _ring(_next_share())
ring_after = _ring(_next_share(C.share > bindparam("after")))
oldest_of_share = (
    select(C.id)
    .where(_waits, C.share == bindparam("of"), C.next_at <= _due_now, _of_platforms(C.platform))
    .order_by(C.next_at, C.id)
    .limit(bindparam("most"))
)


class FairPicker:
    """Picks conversations for one process. Thread-safe; two picks at once may find the same ones."""

    def __init__(self) -> None:
        self._after: str | None = None
        """The share that was served last."""

    def pick(self, connection: Connection, platforms: Sequence[str], limit: int, places: Places) -> list[int]:
        """Returns up to ``limit`` conversations that are due, as far as ``places`` has one for their shares."""
        parameters = {"platforms": list(platforms), "full": list(places.full_names()), "most": limit}
        picked = [number for share, number in connection.execute(timed, parameters) if places.try_take(share)]
        if len(picked) < limit:
            picked += self._pick_waiting(connection, platforms, limit - len(picked), places)
        return picked

    def _pick_waiting(self, connection: Connection, platforms: Sequence[str], limit: int, places: Places) -> list[int]:
        picked: list[int] = []
        served: list[str] = []
        for share, head in self._walk(connection, platforms, limit, places.full_names()).items():
            if len(picked) < limit and head is not None and places.try_take(share):
                picked.append(head)
                served.append(share)
        if served:
            self._after = served[-1]
        if served and len(picked) < limit:
            picked += _more(connection, platforms, limit, places, served, picked)
        return picked

    def _walk(
        self, connection: Connection, platforms: Sequence[str], limit: int, full: Sequence[str]
    ) -> dict[str, int | None]:
        """Returns shares that wait, in their order, the one after the last served first: all, or ``limit`` that have
        something due and are not ``full``.
        """
        found: dict[str, int | None] = {}
        if self._after is not None:
            rows = connection.execute(ring_after, {"after": self._after, "platforms": list(platforms)}).all()
            found.update((share, head) for share, head in rows)
            if len(rows) == MAX_STEPS:
                self._after = rows[-1][0]
                return found
        if sum(head is not None and share not in full for share, head in found.items()) < limit:
            rows = connection.execute(ring_from_start, {"platforms": list(platforms)}).all()
            for share, head in rows:
                found.setdefault(share, head)
            if len(rows) == MAX_STEPS:
                self._after = rows[-1][0]
        return found


def _more(
    connection: Connection,
    platforms: Sequence[str],
    limit: int,
    places: Places,
    shares: Sequence[str],
    picked: Sequence[int],
) -> list[int]:
    """Returns further conversations of these shares, one of each in turn."""
    waiting = {}
    for share in shares:
        parameters = {"platforms": list(platforms), "of": share, "most": limit}
        rows = connection.execute(oldest_of_share, parameters).scalars()
        waiting[share] = deque(number for number in rows if number not in picked)
    more: list[int] = []
    while waiting and len(picked) + len(more) < limit:
        for share in list(waiting):
            if len(picked) + len(more) == limit:
                break
            if waiting[share] and places.try_take(share):
                more.append(waiting[share].popleft())
            else:
                del waiting[share]
    return more
