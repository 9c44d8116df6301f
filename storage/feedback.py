"""What people think of replies, on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, func, literal, select, tuple_

from gateway.ports.feedback import FeedbackFilter, RatedTurn
from storage import row_mapping
from storage.connecting.database import Database
from storage.sql import KEY, TURN, on_platform
from storage.tables.column_types import SafeText
from storage.tables.schema import conversations, turns, verdicts

V = verdicts.c
T = turns.c

ORDER = (V.at, V.turn_id, V.author)


class SqlFeedbackReport:
    """Implements FeedbackReport. Reads the ratings by their time: about as many as match."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self, criteria: FeedbackFilter, *, limit: int, before: tuple[float, str, str] | None = None
    ) -> Sequence[RatedTurn]:
        # The empty text and the sum keep SQLite from beginning with the conversations or the turns.
        found = select(*TURN, *KEY, V.author, V.value, V.at).join_from(verdicts, turns, T.id == V.turn_id + "")
        found = found.join(conversations, conversations.c.id == T.conversation_id + 0).where(*_filters(criteria))
        if before is not None:
            # The first condition is implied by the second, but allows the use of verdicts_given.
            found = found.where(V.at <= before[0], tuple_(*ORDER) < before)
        rows = self._database.fetch_all(found.order_by(*(column.desc() for column in ORDER)).limit(limit))
        rated = row_mapping.to_turns([row[:-3] for row in rows])
        return [RatedTurn(turn, *row[-3:]) for turn, row in zip(rated, rows, strict=True)]

    def counts(self, criteria: FeedbackFilter) -> Mapping[str, int]:
        counted = select(V.value, func.count()).select_from(verdicts)
        if criteria.platform or criteria.assistant:
            counted = counted.join(turns, T.id == V.turn_id)
        found = self._database.fetch_all(counted.where(*_filters(criteria)).group_by(V.value).order_by(V.value))
        return {value: number for value, number in found}  # noqa: C416  # mypy knows no types of rows


def _filters(criteria: FeedbackFilter) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if criteria.value:
        filters.append(V.value == criteria.value)
    if criteria.assistant:
        filters.append(T.assistant == criteria.assistant)
    if criteria.platform:
        filters.append(on_platform(T.platform, literal(criteria.platform, SafeText)))
    if criteria.since is not None:
        filters.append(V.at >= criteria.since)
    if criteria.until is not None:
        filters.append(V.at < criteria.until)
    return filters
