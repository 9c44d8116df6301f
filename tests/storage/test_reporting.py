"""Both databases fulfil the contract of ReportingStore, without scanning more than necessary."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, update

from gateway.domain.models import Turn, TurnState
from gateway.ports.audit_trail import ActionFilter
from gateway.ports.feedback import FeedbackFilter
from gateway.ports.people import PersonId
from gateway.ports.reporting import TurnFilter
from gateway.ports.store import Store
from storage.audit_trail import SqlAuditTrail
from storage.connecting.database import Database
from storage.feedback import SqlFeedbackReport
from storage.people import SqlPeople
from storage.reporting import SqlReportingStore
from storage.store import SqlStore
from storage.tables.schema import leases, limits, turns
from tests.contracts.reporting import ReportingContract
from tests.contracts.reporting_helpers import DAY, SetTimes, answered_turn
from tests.storage.one_database import OneDatabaseForReporting


@pytest.fixture
def reporting(database_url: str) -> Iterator[SqlReportingStore]:
    database = Database(database_url)
    yield SqlReportingStore(database)
    database.close()


@pytest.fixture
def set_times(database_url: str, engine: Engine) -> SetTimes:
    def set_times(turn: Turn, at: float, took: float = 1.0) -> None:
        times = {"received_at": at, "answered_at": at + took}
        with engine.begin() as connection:
            connection.execute(update(turns).where(turns.c.id == turn.id).values(times))

    return set_times


class SqlReportingContract(OneDatabaseForReporting, ReportingContract):
    def stored_names(self, store: Store) -> dict[str, list[str]]:
        assert isinstance(store, SqlStore)
        with store._database.read() as connection:
            return {table.name: list(connection.execute(select(table.c.name)).scalars()) for table in (limits, leases)}


class TestSqliteReporting(SqlReportingContract):
    url_fixture = "sqlite_module_url"

    def test_case_is_ignored_in_every_alphabet(self, store: Store, reporting: SqlReportingStore) -> None:
        turn = answered_turn(store, text="Straße nach Ωμέγα")
        assert reporting.find_turns(TurnFilter(text="STRASSE NACH ωΜΈΓΑ"), limit=1) == [turn]


class TestPostgresReporting(SqlReportingContract):
    url_fixture = "postgres_url"


# ---------------------------------------------------------------- how much is read

NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})"
MANY_CONVERSATIONS = f"""
    INSERT INTO conversations (id, platform, workspace, channel, topic, user_id, head, tail, epoch, created_at)
    {NUMBERS.format(800)} SELECT 1000000 + n, 'pigeon', '', CAST(n AS TEXT), '', '', 10, 10, 0, 0 FROM numbers
"""
MANY_TURNS = f"""
    INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, error_code,
                       received_at, started_at, erased_at)
    {NUMBERS.format(8000)}
    SELECT 1000000 + (n - 1) / 10 + 1, (n - 1) - (n - 1) / 10 * 10 + 1, 'n' || n, 'pigeon', 'm' || n, '', '', '{{}}',
           CASE WHEN n / 200 * 200 = n THEN 'failed' ELSE 'delivered' END,
           CASE WHEN n / 200 * 200 = n THEN 'timed_out' END, n, n, 1
    FROM numbers
"""
WHOLE_TABLE = re.compile(
    r"Seq Scan on (turns|conv)|SCAN (turns|newest|conversations)$|(?<!Incremental )Sort  \(|B-TREE FOR ORDER BY",
    re.MULTILINE,
)


@pytest.fixture
def plans(store: SqlStore, reporting: SqlReportingStore) -> Iterator[Callable[[], list[str]]]:
    """Returns the query plans of the statements sent since, on a table with many turns, all erased but one."""
    answered_turn(store)
    with reporting._database.transaction() as connection:
        for statement in (MANY_CONVERSATIONS, MANY_TURNS, "ANALYZE"):
            connection.exec_driver_sql(statement)
    sent: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    engine = reporting._database._engine
    event.listen(engine, "before_cursor_execute", note)
    yield lambda: [explain(reporting, *each) for each in tuple(sent)]
    event.remove(engine, "before_cursor_execute", note)


def explain(reporting: SqlReportingStore, statement: str, parameters: Any) -> str:
    word = "EXPLAIN QUERY PLAN" if reporting._database.kind == "sqlite" else "EXPLAIN"
    with reporting._database.read() as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{word} {statement}", parameters))


def test_search_reads_about_one_page(reporting: SqlReportingStore, plans: Callable[[], list[str]]) -> None:
    newest = reporting.find_turns(TurnFilter(), limit=50)
    reporting.find_turns(TurnFilter(platform="pigeon"), limit=50, before=newest[-1])
    reporting.find_turns(TurnFilter(state=TurnState.FAILED), limit=50)
    lines = reporting.find_conversations(TurnFilter(), limit=50)
    reporting.find_conversations(TurnFilter(platform="pigeon"), limit=50, before=lines[-1])
    read = plans()
    assert len(read) == 5
    assert [plan for plan in read if WHOLE_TABLE.search(plan)] == []


PEOPLE = f"""
    INSERT INTO people (platform, user_id, first_at, last_at) {NUMBERS.format(5000)}
    SELECT 'pigeon', 'u' || n, n, n FROM numbers
"""
AUTHORS = "UPDATE turns SET author = 'u' || seq || 'of' || conversation_id, erased_at = NULL"
RATINGS = """
    INSERT INTO verdicts (turn_id, author, value, at) SELECT id, 'u', 'good', received_at FROM turns WHERE seq < 5
"""
WHOLE_OF_OTHERS = re.compile(
    r"Seq Scan on (turns|people|verdicts)|SCAN (turns|people|verdicts)$|B-TREE FOR ORDER", re.MULTILINE
)


def test_pages_of_people_read_about_what_they_show(
    engine: Engine, reporting: SqlReportingStore, plans: Callable[[], list[str]]
) -> None:
    database = reporting._database
    with engine.begin() as connection:
        for statement in (PEOPLE, AUTHORS, RATINGS, "ANALYZE"):
            connection.exec_driver_sql(statement)
    people = SqlPeople(database)
    page = people.find("", "", limit=50)
    people.find("", "", limit=50, before=page[-1])
    people.usage_of([PersonId("pigeon", "u1of1000001")], 0.0)
    reporting.find_turns(TurnFilter(author="u1of1000001"), limit=50)
    SqlFeedbackReport(database).find(FeedbackFilter(), limit=50)
    SqlFeedbackReport(database).find(FeedbackFilter(), limit=50, before=(4000.0, "n1", "u"))
    SqlAuditTrail(database).find(ActionFilter(), limit=50)
    read = plans()
    assert [plan for plan in read if WHOLE_OF_OTHERS.search(plan)] == []
    assert sum("people_seen" in plan for plan in read) == 2
    assert sum("turns_author" in plan for plan in read) == 2
    assert sum("verdicts_given" in plan for plan in read) == 2


def test_usage_reads_only_the_counted_turns(reporting: SqlReportingStore, plans: Callable[[], list[str]]) -> None:
    assert [tally.received for tally in reporting.usage_buckets(7000.0, 7100.0, bucket_seconds=1000.0)] == [100]
    assert ["turns_received" in plan for plan in plans()] == [True]


def test_erasing_nothing_scans_no_table(reporting: SqlReportingStore, plans: Callable[[], list[str]]) -> None:
    assert reporting.erase_older_than(DAY) == 0
    assert reporting.erase_older_than(DAY) == 0
    again = plans()[-4:]
    assert [plan for plan in again if WHOLE_TABLE.search(plan)] == []
    assert sum("turns_received" in plan for plan in again) == 2
