"""Picks the conversations that a process claims next: in turn over those who wait, not over their messages.

Those who wait are callers, and workspaces with a share of their own; the callers of such a workspace take turns in it.
They are walked in the order of an index, from where the claim before stopped. Each step is one look into the index,
whatever lies behind it: one with thousands of conversations takes as long as one with a single one.
What is leased or parked has an index of its own, by time, so neither is in the way of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from gateway.domain.shares import Share
from gateway.ports.store import Places
from storage.claiming.claim_sql import STEPS, ClaimStatements
from storage.driver_sql import Call, Row, run_all

MAX_LOOKS = 5
"""How often one claim looks on behind those whom it has found, STEPS at a time. The next claim goes on from there."""
MOST_WORKSPACES = 10_000
"""In how many workspaces a process remembers who was served last."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller without a workspace, or a caller of one, or a workspace. ``second`` is None for the last."""

    share: Share
    head: int | None
    """Its oldest conversation; None if that is not due."""
    second: int | None = None
    """The one after it, if that is due."""


class FairPicker:
    """Picks conversations for one process. Thread-safe; two picks at once may find the same ones."""

    def __init__(self, statements: ClaimStatements) -> None:
        self._statements = statements
        self._after: Share | None = None
        """The caller without a workspace, or the workspace, that was served last."""
        self._after_in: dict[str, str] = {}
        """The caller that was served last, by workspace."""

    def pick(
        self, cursor: Any, platforms: Sequence[str], limit: int, places: Places, waited: float
    ) -> dict[int, float]:
        """Returns up to ``limit`` conversations that are due, as far as ``places`` has one for their shares.

        ``waited``: for so many seconds, unless they were leased or parked. Each comes with the seconds by which its
        lease has expired, or the time until which it was parked is over; else 0.
        """
        pick = _Pick(self._statements, cursor, platforms, limit, places, waited)
        rounds = self._rounds(pick)
        timed, *found = run_all(cursor, [pick.timed(), *(each.call for each in rounds)])
        picked = {
            number: late for caller, workspace, number, late in timed if places.try_take(Share(caller, workspace))
        }
        if len(picked) < limit:
            looks = (pick.looks(each, rows) for each, rows in zip(rounds, found, strict=True))
            picked.update(dict.fromkeys(self._pick_waiting(pick, looks, limit - len(picked)), 0.0))
        return picked

    def _pick_waiting(self, pick: _Pick, rounds: Iterable[Iterator[Sequence[Waiting]]], limit: int) -> list[int]:
        picked: list[int] = []
        sources: deque[Iterator[int]] = deque()
        for one in self._those_who_wait(rounds):
            source = self._of_workspace(pick, one.share.workspace) if one.share.workspace else pick.of_caller(one)
            if (number := next(source, None)) is not None:
                picked.append(number)
                sources.append(source)
                self._after = one.share
            if len(picked) == limit:
                return picked
        return picked + list(_in_turn(sources, limit - len(picked)))

    def _those_who_wait(self, rounds: Iterable[Iterator[Sequence[Waiting]]]) -> Iterator[Waiting]:
        """Yields callers without a workspace that have something due, and workspaces.

        Each once, the one after the last served first. A workspace may have nothing that is due.
        """
        seen: set[Share] = set()
        for looks in rounds:
            end = yield from _new_ones(looks, seen)
            if end is not None:
                self._after = end
                return
        if not seen:
            self._after = None

    def _rounds(self, pick: _Pick) -> list[_Round]:
        """Returns how to look for callers without a workspace, and for workspaces, in their order, and again from the
        start.
        """
        after = self._after
        if after is None:
            return [pick.callers("", None), pick.workspaces("")]
        if after.workspace:
            return [pick.workspaces(after.workspace), pick.callers("", None), pick.workspaces("")]
        return [pick.callers("", after.caller), pick.workspaces(""), pick.callers("", None)]

    def _of_workspace(self, pick: _Pick, workspace: str) -> Iterator[int]:
        """Yields conversations of a workspace for which it took a place, in turn over its callers."""
        sources: deque[Iterator[int]] = deque()
        for caller in self._callers_of(pick, workspace):
            source = pick.of_caller(caller)
            if (number := next(source, None)) is not None:
                self._after_in[workspace] = caller.share.caller
                sources.append(source)
                yield number
        yield from _in_turn(sources, pick.limit)

    def _callers_of(self, pick: _Pick, workspace: str) -> Iterator[Waiting]:
        """Yields each caller of a workspace once that has something due, the one after the last served first."""
        if pick.is_full(workspace):
            return
        if len(self._after_in) > MOST_WORKSPACES:
            self._after_in.clear()
        seen: set[Share] = set()
        after = self._after_in.get(workspace)
        for start in (after, None) if after is not None else (None,):
            end = yield from _new_ones(pick.looks(pick.callers(workspace, start)), seen)
            if end is not None:
                self._after_in[workspace] = end.caller
                return


def _new_ones(looks: Iterator[Sequence[Waiting]], seen: set[Share]) -> Generator[Waiting, None, Share | None]:
    """Yields those who are not ``seen`` yet and have something due. Returns who was the last if there may be more."""
    end: Share | None = None
    looked_on = 0
    for found in looks:
        for one in found:
            if one.share not in seen and one.head is not None:
                yield one
            seen.add(one.share)
        looked_on += len(found) == STEPS
        end = found[-1].share if found else None
    return end if looked_on == MAX_LOOKS else None


@dataclass(frozen=True, slots=True)
class _Round:
    """One look at those who wait."""

    call: Call
    read: Callable[[list[Row]], Sequence[Waiting]]
    """Returns what rows of the call stand for."""
    behind: Callable[[Share], _Round]
    """Returns how to look on behind the last that was found."""


@dataclass(frozen=True, slots=True)
class _Pick:
    """One pick: what it reads with, and the places that are left."""

    statements: ClaimStatements
    cursor: Any
    platforms: Sequence[str]
    limit: int
    places: Places
    waited: float

    def is_full(self, workspace: str) -> bool:
        return workspace in self.places.full_workspaces()

    def looks(self, first: _Round, rows: list[Row] | None = None) -> Iterator[Sequence[Waiting]]:
        """Yields whom a round finds, STEPS at a time. ``rows``: of its first call, if that was made before."""
        looked = first
        for _ in range(MAX_LOOKS):
            found = looked.read(self._rows(looked.call) if rows is None else rows)
            yield found
            if len(found) < STEPS:
                return
            looked, rows = looked.behind(found[-1].share), None

    def _rows(self, call: Call) -> list[Row]:
        return run_all(self.cursor, [call])[0]

    def timed(self) -> Call:
        parameters = {
            "platforms": self.platforms,
            "full": self.places.full_callers(),
            "full_workspaces": self.places.full_workspaces(),
            "most": self.limit,
        }
        return Call(self.statements.timed, parameters)

    def callers(self, workspace: str, after: str | None) -> _Round:
        """Looks for callers of a workspace in their order."""
        statement = self.statements.callers_from_start if after is None else self.statements.callers_after
        parameters = {"platforms": self.platforms, "within": workspace, "after": after, "waited": self.waited}
        call = Call(statement, parameters)

        def read(rows: list[Row]) -> Sequence[Waiting]:
            return [Waiting(Share(caller, workspace), *conversations) for caller, *conversations in rows]

        return _Round(call, read, lambda last: self.callers(workspace, last.caller))

    def workspaces(self, after: str) -> _Round:
        """Looks for workspaces of these platforms in their order."""
        call = Call(self.statements.workspaces_after, {"after": after})
        return _Round(call, self._read_workspaces, lambda last: self.workspaces(last.workspace))

    def _read_workspaces(self, rows: list[Row]) -> Sequence[Waiting]:
        """Returns workspaces. The head of those of other platforms is None."""
        names = [(name, unquote(name.partition(" ")[0])) for (name,) in rows]
        return [Waiting(Share("", name), 0 if platform in self.platforms else None) for name, platform in names]

    def of_caller(self, one: Waiting) -> Iterator[int]:
        """Yields the oldest conversations of a caller for which it took a place."""
        if one.head is None or not self.places.try_take(one.share):
            return
        yield one.head
        if one.second is None:
            return
        for number in self._oldest_of(one.share):
            if number != one.head:
                if not self.places.try_take(one.share):
                    return
                yield number

    def _oldest_of(self, share: Share) -> list[int]:
        parameters = {
            "platforms": self.platforms,
            "within": share.workspace,
            "of": share.caller,
            "waited": self.waited,
            "most": self.limit,
        }
        return [number for (number,) in self._rows(Call(self.statements.oldest_of_caller, parameters))]


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
