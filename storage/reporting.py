"""The ReportingStore on SQLAlchemy: what operators read and erase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Select

from gateway.domain.models import Conversation, Turn, TurnId, TurnState, Verdict
from gateway.ports.reporting import TIMES, Line, Search, Tally
from storage import reporting_sql as statements
from storage import retention, row_mapping
from storage.database import Database
from storage.sql import INSERTS, forget_former

TIDY_SECONDS = 3600.0
SPENDING_SECONDS = 40 * 86_400.0
"""After this time no monthly budget uses the record any more."""


class SqlCatalogue:
    """Implements ReportingStore. A search by text or person scans the whole table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> float:
        with self._database.reading() as connection:
            at: float = connection.execute(statements.now).scalar_one()
            return at

    def find(self, search: Search, *, limit: int, before: Turn | None = None) -> Sequence[Turn]:
        return row_mapping.turns_of(self._read(statements.find(search, limit, before)))

    def find_conversations(self, search: Search, *, limit: int, before: Line | None = None) -> Sequence[Line]:
        found = self._read(statements.find_conversations(search, limit, before))
        return [Line(row_mapping.conversation_of(row), *row[-3:]) for row in found]

    def conversation_by_id(self, conversation: int) -> Conversation | None:
        found = self._read(statements.conversation_by_id, conversation=conversation)
        return row_mapping.conversation_of(found[0]) if found else None

    def tally(self, since: float, until: float, *, span: float) -> Sequence[Tally]:
        found = self._read(statements.tally, since=since, until=until, span=span)
        return [
            _tally(platform, number * span, list(counts))
            for (number, platform), counts in groupby(found, itemgetter(0, 1))
        ]

    # ---------------------------------------------------------------- a person

    def said_by(self, platform: str, author: str, *, after: Turn | None = None, limit: int = 500) -> Sequence[Turn]:
        return row_mapping.turns_of(self._read(statements.said_by(limit, after), on=platform, person=author))

    def judged_by(self, platform: str, author: str) -> Sequence[Verdict]:
        return [Verdict(*row) for row in self._read(statements.judged_by, on=platform, person=author)]

    def unfinished(self, platform: str, author: str) -> Sequence[TurnId]:
        return [turn for (turn,) in self._read(statements.unfinished, on=platform, person=author)]

    def shares(self, platform: str, author: str) -> Sequence[tuple[Conversation, bool]]:
        found = self._read(statements.shares, on=platform, person=author)
        return [(row_mapping.conversation_of(row), bool(row[-1])) for row in found]

    def erase_person(self, conversation: Conversation, author: str) -> int | None:
        parameters = {"conversation": conversation.id, "person": author}
        with self._database.writing() as connection:
            if connection.execute(statements.let_go(conversation)).rowcount == 0:
                return None
            connection.execute(forget_former, {"conversation": conversation.id})
            connection.execute(statements.cancel_person, parameters)
            return connection.execute(statements.erase_person, parameters).rowcount

    def erase_verdicts(self, platform: str, author: str) -> int:
        with self._database.writing_once() as connection:
            return connection.execute(statements.erase_verdicts, {"on": platform, "person": author}).rowcount

    # ---------------------------------------------------------------- clearing up

    def erase_before(self, age: float, *, limit: int = 1000) -> int:
        with self._database.writing() as connection:
            now, stored = connection.execute(statements.swept, {"fact": retention.FACT}).one()
            cursor = retention.Swept.read(stored)
            erased, new_cursor = retention.sweep(connection, cursor, now - age, limit)
            if new_cursor != cursor:
                parameters = {"name": retention.FACT, "value": str(new_cursor)}
                connection.execute(INSERTS[self._database.kind].keep, parameters)
            return erased

    def tidy(self) -> None:
        for statement in statements.tidy:
            with self._database.writing_once() as connection:
                connection.execute(statement, {"seconds": TIDY_SECONDS})
        before = datetime.fromtimestamp(self.now() - SPENDING_SECONDS, UTC)
        with self._database.writing_once() as connection:
            connection.execute(statements.bygone, {"month": f"{before:%Y-%m}"})

    def _read(self, statement: Select[*tuple[Any, ...]], **parameters: Any) -> Sequence[Sequence[Any]]:
        with self._database.reading() as connection:
            if self._database.kind == "sqlite":
                _teach(connection)
            return connection.execute(statement, parameters).all()


def _teach(connection: Connection) -> None:
    """Registers Python's casefold, as SQLite folds the case of ASCII only."""
    driver: Any = connection.connection.driver_connection
    driver.create_function("casefold", 1, str.casefold, deterministic=True)


def _tally(platform: str, since: float, counts: Sequence[Sequence[Any]]) -> Tally:
    """Reads rows of reporting_sql.usage_buckets."""
    states: Counter[TurnState] = Counter()
    failures: Counter[str] = Counter()
    times = [0] * (len(TIMES) + 1)
    for _, _, state, code, slot, number, *_ in counts:
        states[state] += number
        if state is TurnState.FAILED:
            failures[code or ""] += number
        elif state in (TurnState.ANSWERED, TurnState.DELIVERED):
            times[slot] += number
    return Tally(
        platform,
        since,
        received=states.total(),
        answered=sum(times),
        cancelled=states[TurnState.CANCELLED],
        failures=dict(failures),
        times=tuple(times),
        tokens_in=_sum(counts, -3),
        tokens_out=_sum(counts, -2),
        cost=_sum(counts, -1),
    )


def _sum(counts: Iterable[Sequence[Any]], column: int) -> int:
    return sum(int(row[column]) for row in counts)
