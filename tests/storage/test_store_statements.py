"""How many statements the store sends, and what they read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from gateway.domain.models import Edit, Exchange, Kind, RunId, ThreadId, Verdict
from gateway.ports.store import Bound, Brought, Change, Rate, Started
from storage import sql
from storage.store import SqlStore
from tests.contracts.store_helpers import FAILURE, PLATFORM, answer, begin, finish, key, message, new_turn, read, say

Sent = tuple[str, Any]
WHOLE_TABLE = re.compile(
    r"Seq Scan on (conversations|turns|verdicts)|SCAN (conversations|turns|verdicts)$", re.MULTILINE
)


@pytest.fixture
def sent(store: SqlStore) -> Iterator[list[Sent]]:
    """Returns the statements sent since the list was last cleared, with their parameters."""
    store.ping()
    sent: list[Sent] = []
    engine = store._database._engine

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def verbs(sent: list[Sent]) -> list[str]:
    return [statement.split(maxsplit=1)[0] for statement, _ in sent]


def told(store: SqlStore) -> list[str]:
    """Returns the kind of the statement that publishes events, on a shared database."""
    return ["SELECT"] if store.shared else []


def test_a_message_takes_two_statements(store: SqlStore, sent: list[Sent]) -> None:
    say(store, owner="one")
    say(store)
    assert verbs(sent) == ["INSERT", "INSERT"] * 2


def test_unclaimed_message_takes_one_more_statement_to_publish(store: SqlStore, sent: list[Sent]) -> None:
    say(store)
    assert verbs(sent) == ["INSERT", "INSERT", *told(store)]


def test_complete_turn_takes_twelve_statements(store: SqlStore, sent: list[Sent]) -> None:
    claim = store.record(message(awaited=True), new_turn(), owner="one", taker="one").claim
    assert claim is not None
    for change in (Started(claim.lease, claim.turn.id, RunId("r")), answer(claim)):
        store.write([change])
    store.write([finish(claim)])
    one_step = ["SELECT", "SELECT", "UPDATE"]
    assert verbs(sent) == ["INSERT", "INSERT", *one_step, *one_step, *one_step, "UPDATE"]


def test_audit_log_is_sent_when_it_has_a_new_entry(store: SqlStore, sent: list[Sent]) -> None:
    say(store)
    assert not any("trail" in statement for statement, _ in sent)
    claim = begin(store, "other")
    sent.clear()
    store.write([answer(claim)])
    store.write([finish(claim)])
    assert not any("trail" in statement for statement, _ in sent if statement.startswith("UPDATE"))


def test_failed_enqueue_and_retry_take_few_statements(store: SqlStore, sent: list[Sent]) -> None:
    refused = store.refuse(message(), new_turn(), FAILURE)
    assert refused is not None
    assert verbs(sent) == ["INSERT", "SELECT", "INSERT", *told(store)]
    sent.clear()
    store.retry(refused.id, new_turn())
    assert verbs(sent) == ["UPDATE", "SELECT", "INSERT", "UPDATE"]


def test_cancelling_publishes_to_running_and_waiting_processes(store: SqlStore, sent: list[Sent]) -> None:
    queued, running = say(store).turn, begin(store, "other").turn
    sent.clear()
    store.cancel(queued.id)
    assert verbs(sent) == ["UPDATE", "SELECT"]
    sent.clear()
    store.cancel(running.id)
    assert verbs(sent) == ["UPDATE", *told(store), "SELECT"]


def test_message_without_files_sends_no_file_columns(store: SqlStore, sent: list[Sent]) -> None:
    say(store)
    assert not any("files" in statement or "kind" in statement for statement, _ in sent)


def test_a_stop_takes_one_statement_more(store: SqlStore, sent: list[Sent]) -> None:
    for _ in range(5):
        say(store)
    sent.clear()
    store.record(message(kind=Kind.STOP), new_turn())
    assert verbs(sent) == ["INSERT", "INSERT", "UPDATE"]


def test_a_step_of_one_turn_takes_three_statements(store: SqlStore, sent: list[Sent]) -> None:
    claim = begin(store)
    sent.clear()
    store.write([answer(claim)])
    assert verbs(sent) == ["SELECT", "SELECT", "UPDATE"]
    sent.clear()
    store.write([Brought(claim.lease, claim.turn.id, ("1.1",))])
    assert verbs(sent) == ["SELECT", "SELECT", "UPDATE"]


def test_values_locks_and_tokens_take_one_statement_each(store: SqlStore, sent: list[Sent]) -> None:
    turn = say(store).turn
    sent.clear()
    store.edit(Edit(PLATFORM, turn.message.message_id, "Hallo"))
    store.judge(Verdict(turn.id, "Ada", "good"))
    store.keep("fact", "1")
    store.discard("fact")
    store.lease("lease", "one", 1.0)
    store.lease("lease", "one", 0)
    store.reserve("bucket", Rate(1.0), 0.0)
    store.hold_off("bucket", 1.0)
    assert verbs(sent) == ["UPDATE", "INSERT", "INSERT", "DELETE", "INSERT", "DELETE", "INSERT", "INSERT"]


def test_batch_takes_one_statement_per_kind_of_write(store: SqlStore, sent: list[Sent]) -> None:
    claims = [begin(store, f"{number}") for number in range(20)]
    for number in range(20):
        say(store, f"{number}")
    sent.clear()
    changes: list[Change] = []
    for claim in claims:
        bound = Bound(claim.lease, ThreadId("t"), "x")
        changes += [bound, Started(claim.lease, claim.turn.id, RunId("r")), answer(claim), finish(claim)]
    assert len(store.write(changes)) == 80
    assert verbs(sent) == ["SELECT", "SELECT", "UPDATE", "UPDATE", "UPDATE", "UPDATE"]


def test_claiming_many_takes_three_statements(store: SqlStore, sent: list[Sent]) -> None:
    for number in range(20):
        say(store, f"{number}")
    sent.clear()
    assert len(store.claim("one", [PLATFORM], 20)) == 20
    assert verbs(sent) == ["WITH", "SELECT", "UPDATE"]
    assert store.claim("one", [PLATFORM], 20) == ()
    assert len(sent) == 4


def test_renewing_takes_two_statements(store: SqlStore, sent: list[Sent]) -> None:
    begin(store)
    sent.clear()
    store.renew("one")
    store.renew("nobody")
    assert verbs(sent) == ["WITH", "SELECT", "WITH"]


def test_frequent_statements_scan_no_whole_table(store: SqlStore, sent: list[Sent]) -> None:
    fill(store)
    sent.clear()
    claim = begin(store)
    say(store)
    store.write([answer(claim), finish(claim, keep=False)])
    (claim,) = store.claim("two", [PLATFORM], 5)
    store.renew("two")
    store.record(message(kind=Kind.STOP), new_turn())
    store.cancel(claim.turn.id)
    store.edit(Edit(PLATFORM, "m7", "Hallo"))
    store.turn_of(PLATFORM, "m7")
    store.judge(Verdict(claim.turn.id, "Ada", "good"))
    store.verdicts(claim.turn.id)
    store.forget(store.record(message("short"), new_turn()).turn.conversation)
    store.conversation_of(ThreadId("thread"))
    store.transcript(claim.conversation.id, limit=10)
    store.record(message(name="m7"), new_turn())
    refused = store.refuse(message("refused"), new_turn(), FAILURE)
    assert refused is not None
    store.retry(refused.id, new_turn())
    store.depths()
    store.mend()
    plans = {statement: explain(store, statement, parameters) for statement, parameters in tuple(sent)}
    assert len(plans) > 15
    assert {statement: plan for statement, plan in plans.items() if WHOLE_TABLE.search(plan)} == {}


def fill(store: SqlStore) -> None:
    """Inserts so many idle conversations that a scan costs more than an index."""
    store.adopt(key("long"), ThreadId("thread"), "x", [Exchange("a", "b")] * 1500)
    with store._database.writing() as connection:
        connection.exec_driver_sql(MANY_IDLE)
        connection.exec_driver_sql(MANY_VERDICTS)
        if store._database.kind == "postgresql":  # which would analyze only after a while
            connection.exec_driver_sql("ANALYZE")


MANY_IDLE = """
    INSERT INTO conversations (platform, workspace, channel, topic, user_id, thread_id, head, tail, epoch, created_at)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
    SELECT 'pigeon', '', CAST(n AS TEXT), '', '', CAST(n AS TEXT), 0, 0, 0, 0 FROM numbers
"""

MANY_VERDICTS = """
    INSERT INTO verdicts (turn_id, author, value, at)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10)
    SELECT id, CAST(n AS TEXT), 'good', 0 FROM turns CROSS JOIN numbers
"""


def explain(store: SqlStore, statement: str, parameters: Any) -> str:
    word = "EXPLAIN QUERY PLAN" if store._database.kind == "sqlite" else "EXPLAIN"
    one = parameters[0] if isinstance(parameters, list) else parameters
    with store._database.reading() as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{word} {statement}", one))


def test_reading_does_not_wait_for_a_writer(store: SqlStore, database_url: str) -> None:
    turn = say(store).turn
    other = SqlStore(database_url)
    with other._database.writing() as connection:
        connection.execute(sql.cancel, {"turn": turn.id})
        assert read(store, turn) == turn
        assert store.transcript(turn.conversation) == [turn]
    assert read(store, turn) != turn
    other.close()
