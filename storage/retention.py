"""Erases old turns, oldest first. A cursor stores how far it got, as erased rows stay in the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from storage import reporting_sql as statements
from storage.approvals import erase_approvals_of
from storage.callbacks import delete_callbacks_of
from storage.uploads import delete_uploads_of

CURSOR_NAME = "catalogue:swept"
MAX_UNFINISHED = 1000
"""Unfinished turns to remember for later. With more of them, the cursor stops before the first that is too many."""


@dataclass(frozen=True, slots=True)
class RetentionCursor:
    """How far turns are erased."""

    until: float = 0.0
    """Turns received before this time are erased."""
    unfinished: tuple[str, ...] = ()
    """Except these, which were unfinished when the cursor passed them."""

    @classmethod
    def from_json(cls, stored: str | None) -> RetentionCursor:
        if stored is None:
            return cls()
        found = json.loads(stored)
        return cls(found["until"], tuple(found["left"]))

    def __str__(self) -> str:
        return json.dumps({"until": self.until, "left": self.unfinished})


def erase_batch(connection: Connection, cursor: RetentionCursor, end: float, limit: int) -> tuple[int, RetentionCursor]:
    """Erases up to ``limit`` turns received before ``end``, and remembered ones that are finished now.

    Returns the number of erased turns and the new cursor.
    """
    # If the cursor is beyond the end, because a clock was ahead or the age was shorter, that range is erased again.
    since = min(cursor.until, end)
    found = connection.execute(statements.finished_between, {"since": since, "until": end, "most": limit}).all()
    late, left = _recheck_unfinished(connection, cursor.unfinished)
    until, unfinished = _find_unfinished(connection, since, found[-1][1] if len(found) == limit else end, len(left))
    erased = [turn for turn, _ in found] + late
    _erase(connection, erased)
    return len(erased), RetentionCursor(until, (*left, *unfinished))


def _recheck_unfinished(connection: Connection, unfinished: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits remembered turns into finished and still unfinished ones. Deleted turns are in neither."""
    if not unfinished:
        return [], []
    late = connection.execute(statements.finished_of, {"named": unfinished}).scalars().all()
    return list(late), list(connection.execute(statements.unfinished_of, {"named": unfinished}).scalars())


def _find_unfinished(connection: Connection, since: float, until: float, known: int) -> tuple[float, list[str]]:
    """Returns the end of a span and its unfinished turns; an earlier end if they are too many to remember."""
    room = max(MAX_UNFINISHED - known, 0)
    parameters = {"since": since, "until": until, "most": room + 1}
    found = connection.execute(statements.unfinished_between, parameters).all()
    if len(found) > room:
        until = found[-1][1]
    return until, [turn for turn, at in found if at < until]


def _erase(connection: Connection, turn_ids: Sequence[str]) -> None:
    if turn_ids:
        delete_uploads_of(connection, statements.with_ids, {"named": turn_ids})
        delete_callbacks_of(connection, statements.with_ids, {"named": turn_ids})
        erase_approvals_of(connection, statements.with_ids, {"named": turn_ids})
        connection.execute(statements.erase_turns, {"named": turn_ids})
        connection.execute(statements.erase_files_of, {"named": turn_ids})
        connection.execute(statements.erase_feedback_on, {"named": turn_ids})
