"""Picks the conversations that a process claims next: in turn over those who wait, not over their messages.

Those who wait are callers, and workspaces with a share of their own; the callers of such a workspace take turns in it.
They are walked in the order of an index, from where the claim before stopped. Each step is one look into the index,
whatever lies behind it: one with thousands of conversations takes as long as one with a single one.
What is leased or parked has an index of its own, by time, so neither is in the way of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
)

from gateway.domain.shares import Share
from gateway.ports.store import Places
from storage.clock import clock
from storage.sql import C

MAX_STEPS = 500
"""How many of those who wait one claim looks at. The next claim goes on from there."""
MOST_WORKSPACES = 10_000
"""In how many workspaces a process remembers who was served last."""

_due_now = select(clock()).scalar_subquery()
# Written as the conditions of the indexes, so that both databases use these.
_waits = and_(C.owner.is_(None), C.next_at.is_not(None), C.parked_since.is_(None))
_is_timed = and_(C.next_at.is_not(None), or_(C.owner.is_not(None), C.parked_since.is_not(None)))
_within = C.workspace_share == bindparam("within")


def _of_platforms(platform: ColumnElement[str]) -> ColumnElement[bool]:
    # Without coalesce, SQLite would walk through all conversations of the platform by conversations_key.
    return func.coalesce(platform, "").in_(bindparam("platforms", expanding=True))


timed = (
    select(C.share, C.workspace_share, C.id, _due_now - C.next_at)
    .where(_is_timed, C.next_at <= _due_now, _of_platforms(C.platform))
    .where(C.share.not_in(bindparam("full", expanding=True)))
    .where(C.workspace_share.not_in(bindparam("full_workspaces", expanding=True)))
    .order_by(C.next_at, C.id)
    .limit(bindparam("most"))
)
"""Whose lease has expired, and what was parked until now; with how many seconds ago."""


def _next(column: Column[str], *which: ColumnElement[bool]) -> ScalarSelect[str]:
    return select(column).where(_waits, *which).order_by(column).limit(1).scalar_subquery()


def _ring_of_callers(first: ScalarSelect[str]) -> Select[str, int | None]:
    """Returns callers of a workspace, from a first one on, each with its oldest conversation; NULL if it is not due."""
    ring = select(first.label("share"), literal(1).label("step")).cte("ring", recursive=True)
    step = select(_next(C.share, _within, C.share > ring.c.share), ring.c.step + 1)
    ring = ring.union_all(step.where(ring.c.share.is_not(None), ring.c.step < MAX_STEPS))
    head = (
        select(C.id)
        .where(_waits, _within, C.share == ring.c.share, C.next_at <= _due_now, _of_platforms(C.platform))
        .order_by(C.next_at, C.id)
        .limit(1)
        .scalar_subquery()
    )
    return select(ring.c.share, head).where(ring.c.share.is_not(None)).order_by(ring.c.step)


def _ring_of_workspaces() -> Select[str]:
    first = _next(C.workspace_share, C.workspace_share > bindparam("after"))
    ring = select(first.label("name"), literal(1).label("step")).cte("ring", recursive=True)
    step = select(_next(C.workspace_share, C.workspace_share > ring.c.name), ring.c.step + 1)
    ring = ring.union_all(step.where(ring.c.name.is_not(None), ring.c.step < MAX_STEPS))
    return select(ring.c.name).where(ring.c.name.is_not(None)).order_by(ring.c.step)


callers_from_start = _ring_of_callers(_next(C.share, _within))
callers_after = _ring_of_callers(_next(C.share, _within, C.share > bindparam("after")))
workspaces_after = _ring_of_workspaces()
oldest_of_caller = (
    select(C.id)
    .where(_waits, _within, C.share == bindparam("of"), C.next_at <= _due_now, _of_platforms(C.platform))
    .order_by(C.next_at, C.id)
    .limit(bindparam("most"))
)


class FairPicker:
    """Picks conversations for one process. Thread-safe; two picks at once may find the same ones."""

    def __init__(self) -> None:
        self._after: Share | None = None
        """The caller without a workspace, or the workspace, that was served last."""
        self._after_in: dict[str, str] = {}
        """The caller that was served last, by workspace."""

    def pick(self, connection: Connection, platforms: Sequence[str], limit: int, places: Places) -> dict[int, float]:
        """Returns up to ``limit`` conversations that are due, as far as ``places`` has one for their shares.

        Each with the seconds by which its lease has expired, or the time until which it was parked is over; else 0.
        """
        parameters = {
            "platforms": list(platforms),
            "full": list(places.full_callers()),
            "full_workspaces": list(places.full_workspaces()),
            "most": limit,
        }
        due = connection.execute(timed, parameters)
        picked = {number: late for caller, workspace, number, late in due if places.try_take(Share(caller, workspace))}
        if len(picked) < limit:
            waiting = self._pick_waiting(_Pick(connection, platforms, limit, places), limit - len(picked))
            picked.update(dict.fromkeys(waiting, 0.0))
        return picked

    def _pick_waiting(self, pick: _Pick, limit: int) -> list[int]:
        picked: list[int] = []
        sources: deque[Iterator[int]] = deque()
        for share, head in self._those_who_wait(pick):
            source = self._of_workspace(pick, share.workspace) if share.workspace else pick.of_caller(share, head)
            if (number := next(source, None)) is not None:
                picked.append(number)
                sources.append(source)
                self._after = share
            if len(picked) == limit:
                return picked
        return picked + list(_in_turn(sources, limit - len(picked)))

    def _those_who_wait(self, pick: _Pick) -> Iterator[tuple[Share, int]]:
        """Yields callers without a workspace that have something due, with their oldest conversation, and workspaces.

        Each once, the one after the last served first. A workspace may have nothing that is due.
        """
        seen: set[Share] = set()
        for found in self._rounds(pick):
            for share, head in found:
                if share not in seen and head is not None:
                    yield share, head
                seen.add(share)
            if len(found) == MAX_STEPS:
                return
        if not seen:
            self._after = None

    def _rounds(self, pick: _Pick) -> Iterator[Sequence[tuple[Share, int | None]]]:
        """Looks for callers without a workspace, and for workspaces, in their order, and again from the start."""
        after = self._after
        if after is not None and after.workspace:
            yield self._kept(pick.workspaces(after.workspace))
            yield self._kept(pick.callers("", None))
        else:
            yield self._kept(pick.callers("", None if after is None else after.caller))
        yield self._kept(pick.workspaces(""))
        if after is not None and not after.workspace:
            yield self._kept(pick.callers("", None))

    def _kept(self, found: Sequence[tuple[Share, int | None]]) -> Sequence[tuple[Share, int | None]]:
        """Notes how far a claim has looked that could not look at all."""
        if len(found) == MAX_STEPS:
            self._after = found[-1][0]
        return found

    def _of_workspace(self, pick: _Pick, workspace: str) -> Iterator[int]:
        """Yields conversations of a workspace for which it took a place, in turn over its callers."""
        sources: deque[Iterator[int]] = deque()
        for caller, head in self._callers_of(pick, workspace):
            source = pick.of_caller(caller, head)
            if (number := next(source, None)) is not None:
                self._after_in[workspace] = caller.caller
                sources.append(source)
                yield number
        yield from _in_turn(sources, pick.limit)

    def _callers_of(self, pick: _Pick, workspace: str) -> Iterator[tuple[Share, int]]:
        """Yields each caller of a workspace once that has something due, the one after the last served first."""
        if pick.is_full(workspace):
            return
        if len(self._after_in) > MOST_WORKSPACES:
            self._after_in.clear()
        seen: set[Share] = set()
        after = self._after_in.get(workspace)
        for start in (after, None) if after is not None else (None,):
            found = pick.callers(workspace, start)
            if len(found) == MAX_STEPS:
                self._after_in[workspace] = found[-1][0].caller
            for share, head in found:
                if share not in seen and head is not None:
                    yield share, head
                seen.add(share)
            if len(found) == MAX_STEPS:
                return


@dataclass(frozen=True, slots=True)
class _Pick:
    """One pick: what it reads with, and the places that are left."""

    connection: Connection
    platforms: Sequence[str]
    limit: int
    places: Places

    def is_full(self, workspace: str) -> bool:
        return workspace in self.places.full_workspaces()

    def callers(self, workspace: str, after: str | None) -> Sequence[tuple[Share, int | None]]:
        """Returns callers of a workspace in their order, with their oldest conversation if one is due."""
        statement = callers_from_start if after is None else callers_after
        parameters = {"platforms": list(self.platforms), "within": workspace}
        rows = self.connection.execute(statement, parameters if after is None else parameters | {"after": after})
        return [(Share(caller, workspace), head) for caller, head in rows]

    def workspaces(self, after: str) -> Sequence[tuple[Share, int | None]]:
        """Returns workspaces of these platforms in their order, each with 0."""
        names = self.connection.execute(workspaces_after, {"after": after}).scalars()
        return [(Share("", name), 0 if unquote(name.partition(" ")[0]) in self.platforms else None) for name in names]

    def of_caller(self, share: Share, head: int) -> Iterator[int]:
        """Yields the oldest conversations of a caller, of which ``head`` is the first, for which it took a place."""
        if not self.places.try_take(share):
            return
        yield head
        parameters = {"within": share.workspace, "of": share.caller, "most": self.limit}
        rows = self.connection.execute(oldest_of_caller, parameters | {"platforms": list(self.platforms)}).scalars()
        for number in rows.all():
            if number != head:
                if not self.places.try_take(share):
                    return
                yield number


def _in_turn(sources: deque[Iterator[int]], limit: int) -> Iterator[int]:
    """Yields up to ``limit`` numbers, one of each source in turn."""
    count = 0
    while sources and count < limit:
        number = next(sources[0], None)
        if number is None:
            sources.popleft()
        else:
            sources.rotate(-1)
            count += 1
            yield number
