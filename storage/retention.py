"""Erases old turns, oldest first. A cursor stores how far it got, as erased rows stay in the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from storage import reporting_sql as statements

FACT = "catalogue:swept"
MOST_LEFT = 1000
"""Unfinished turns to remember for later. With more of them, the cursor stops before the first that is too many."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How far turns are erased."""

    until: float = 0.0
    """Turns received before this time are erased."""
    left: tuple[str, ...] = ()
    """Except these, which were unfinished when the cursor passed them."""

    @classmethod
    def read(cls, kept: str | None) -> Swept:
        if kept is None:
            return cls()
        found = json.loads(kept)
        return cls(found["until"], tuple(found["left"]))

    def __str__(self) -> str:
        return json.dumps({"until": self.until, "left": self.left})


def sweep(connection: Connection, swept: Swept, end: float, limit: int) -> tuple[int, Swept]:
    """Erases up to ``limit`` turns received before ``end``, and remembered ones that are finished now.

    Returns the number of erased turns and the new cursor.
    """
    # If the cursor is beyond the end, because a clock was ahead or the age was shorter, that range is erased again.
    since = min(swept.until, end)
    found = connection.execute(statements.old, {"since": since, "until": end, "most": limit}).all()
    late, left = _look_again(connection, swept.left)
    until, unfinished = _unfinished(connection, since, found[-1][1] if len(found) == limit else end, len(left))
    erased = [turn for turn, _ in found] + late
    _erase(connection, erased)
    return len(erased), Swept(until, (*left, *unfinished))


def _look_again(connection: Connection, left: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits remembered turns into finished and still unfinished ones. Deleted turns are in neither."""
    if not left:
        return [], []
    late = connection.execute(statements.late, {"named": left}).scalars().all()
    return list(late), list(connection.execute(statements.still_unfinished, {"named": left}).scalars())


def _unfinished(connection: Connection, since: float, until: float, left: int) -> tuple[float, list[str]]:
    """Returns the end of a span and its unfinished turns; an earlier end if they are too many to remember."""
    room = max(MOST_LEFT - left, 0)
    parameters = {"since": since, "until": until, "most": room + 1}
    found = connection.execute(statements.old_unfinished, parameters).all()
    if len(found) > room:
        until = found[-1][1]
    return until, [turn for turn, at in found if at < until]


def _erase(connection: Connection, erased: Sequence[str]) -> None:
    if erased:
        connection.execute(statements.erase, {"named": erased})
        connection.execute(statements.erase_verdicts_of, {"named": erased})
