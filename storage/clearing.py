"""What is old is erased, from the oldest on; where that got to is kept, as erased rows stay in the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from storage import catalogue_statements as statements

FACT = "catalogue:swept"
MOST_LEFT = 1000
"""Unfinished turns to come back for. With more of them, the sweep waits before the first that is too many."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How far everything is erased."""

    until: float = 0.0
    """What was received before this time is."""
    left: tuple[str, ...] = ()
    """But for these: turns that were not finished when it was their time."""

    @classmethod
    def read(cls, kept: str | None) -> Swept:
        if kept is None:
            return cls()
        found = json.loads(kept)
        return cls(found["until"], tuple(found["left"]))

    def __str__(self) -> str:
        return json.dumps({"until": self.until, "left": self.left})


def sweep(connection: Connection, swept: Swept, end: float, limit: int) -> tuple[int, Swept]:
    """Erase up to ``limit`` turns that were received before ``end``, and those left that are finished by now.

    How many it were, and how far everything is erased now.
    """
    # What was swept beyond the end, by a clock that was ahead or a shorter age, has to be swept again.
    since = min(swept.until, end)
    found = connection.execute(statements.old, {"since": since, "until": end, "most": limit}).all()
    late, left = _look_again(connection, swept.left)
    until, unfinished = _unfinished(connection, since, found[-1][1] if len(found) == limit else end, len(left))
    erased = [turn for turn, _ in found] + late
    _erase(connection, erased)
    return len(erased), Swept(until, (*left, *unfinished))


def _look_again(connection: Connection, left: Sequence[str]) -> tuple[list[str], list[str]]:
    """What was left: finished by now, and not yet. What is forgotten is neither."""
    if not left:
        return [], []
    late = connection.execute(statements.late, {"named": left}).scalars().all()
    return list(late), list(connection.execute(statements.still_unfinished, {"named": left}).scalars())


def _unfinished(connection: Connection, since: float, until: float, left: int) -> tuple[float, list[str]]:
    """The unfinished turns of a span, and its end: an earlier one if they are too many to be left."""
    room = max(MOST_LEFT - left, 0)
    wanted = {"since": since, "until": until, "most": room + 1}
    found = connection.execute(statements.old_unfinished, wanted).all()
    if len(found) > room:
        until = found[-1][1]
    return until, [turn for turn, at in found if at < until]


def _erase(connection: Connection, erased: Sequence[str]) -> None:
    if erased:
        connection.execute(statements.erase, {"named": erased})
        connection.execute(statements.erase_verdicts_of, {"named": erased})
