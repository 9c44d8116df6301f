"""How many statements the store sends, and what they read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from gateway.domain.conversations import Claim
from gateway.domain.exchange import Exchange
from gateway.domain.models import MessageKind, RunId, ThreadId, Turn
from gateway.domain.platform_events import Feedback, MessageEdited
from gateway.ports.enqueue import EnqueueRequest
from gateway.ports.leased_writes import LeasedWrite, ReleaseLease, SetPostedMessages, SetRun, SetThread
from gateway.ports.token_buckets import Rate
from storage import sql
from storage.driver_sql import DriverStatement
from storage.store import SqlStore
from tests.contracts.store_helpers import (
    FAILURE,
    PLATFORM,
    answer,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    key,
    message,
    new_turn,
)

Sent = tuple[str, Any]
READ = ["SELECT"] * 3
"""What is known of messages, which are new, and the time."""
OPENED = [*READ, "INSERT", "INSERT"]
APPENDED = [*READ, "UPDATE", "INSERT"]
WHOLE_TABLE = re.compile(
    r"Seq Scan on (conversations|turns|verdicts)"
    r"|SCAN (conversations|turns|verdicts)(?! USING (COVERING )?INDEX (conversations_\w+|turns_failed))"
)
"""Of a table, or of an index that has all its rows; those that are named here have few."""


@pytest.fixture
def sent(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sent]]:
    """Returns the statements sent since the list was last cleared, with their parameters.

    Of a statement that the driver executes several times at once, only the first one.
    """
    store.ping()
    sent: list[Sent] = []
    engine = store._database._engine

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    note_driver_statements(sent, monkeypatch)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def note_driver_statements(sent: list[Sent], monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes what the driver executes itself, which SQLAlchemy's events do not report."""
    execute = DriverStatement.execute

    def note(statement: DriverStatement, cursor: Any, parameters: Any) -> Any:
        sent.append((statement.text, statement.row(parameters)))
        return execute(statement, cursor, parameters)

    monkeypatch.setattr(DriverStatement, "execute", note)
    for name in ("execute_all", "fetch_each"):
        original = getattr(DriverStatement, name)

        def note_first(statement: DriverStatement, cursor: Any, rows: Any, original: Any = original) -> Any:
            sent.append((statement.text, statement.row(rows[0])))
            return original(statement, cursor, rows)

        monkeypatch.setattr(DriverStatement, name, note_first)


def verbs(sent: list[Sent]) -> list[str]:
    return [statement.split(maxsplit=1)[0] for statement, _ in sent]


def told(store: SqlStore) -> list[str]:
    """Returns the kind of the statement that publishes events, on a shared database."""
    return ["SELECT"] if store.is_shared else []


def locked(store: SqlStore) -> list[str]:
    """Returns the kinds of the statements before fenced writes: a shared database locks; both read the clock."""
    return ["SELECT", "SELECT"] if store.is_shared else ["SELECT"]


def known(claim: Claim, result: object) -> Claim:
    """Returns the claim with what its holder knows after a write."""
    assert isinstance(result, Turn)
    return replace(claim, turn=result)


def test_a_message_takes_five_statements(store: SqlStore, sent: list[Sent]) -> None:
    enqueue(store, owner="one")
    enqueue(store)
    assert verbs(sent) == [*OPENED, *APPENDED]


def test_messages_that_arrive_together_take_hardly_more(store: SqlStore, sent: list[Sent]) -> None:
    enqueue(store, "0", owner="one")
    sent.clear()
    store.enqueue_all([EnqueueRequest(message(f"{number % 20}"), new_turn(), "one") for number in range(40)])
    assert verbs(sent) == [*READ, "UPDATE", "INSERT", "INSERT"]


def test_unclaimed_message_takes_one_more_statement_to_publish(store: SqlStore, sent: list[Sent]) -> None:
    enqueue(store)
    assert verbs(sent) == [*OPENED, *told(store)]


def test_complete_turn_loads_nothing(store: SqlStore, sent: list[Sent]) -> None:
    claim = enqueue_one(store, message(has_waiting_caller=True), new_turn(), owner="one", received_by="one").claim
    assert claim is not None
    store.apply_writes([SetThread(claim.lease, ThreadId("t"), "x")])
    claim = known(claim, *store.apply_writes([SetRun(claim.lease, claim.turn, RunId("r"))]))
    claim = known(claim, *store.apply_writes([answer(claim)]))
    claim = known(claim, *store.apply_writes([SetPostedMessages(claim.lease, claim.turn, ("1.1",))]))
    store.apply_writes([finish(claim)])
    one_step = [*locked(store), "UPDATE"]
    assert verbs(sent) == [*OPENED, *one_step * 4, *locked(store), "UPDATE", "UPDATE"]


def test_turn_behind_another_takes_three_statements_more(store: SqlStore, sent: list[Sent]) -> None:
    claim = enqueue_and_claim(store)
    enqueue(store)
    claim = known(claim, *store.apply_writes([answer(claim)]))
    sent.clear()
    (following,) = store.apply_writes([finish(claim)])
    assert verbs(sent) == [*locked(store), "UPDATE", "UPDATE", "UPDATE", "SELECT", "UPDATE"]
    assert isinstance(following, Claim)
    assert following.turn == get_turn(store, following.turn)


def test_audit_log_is_sent_when_it_has_a_new_entry(store: SqlStore, sent: list[Sent]) -> None:
    claim = enqueue_and_claim(store, "other")
    sent.clear()
    store.apply_writes([answer(claim)])
    store.apply_writes([finish(claim)])
    written = [statement.partition(" WHERE ")[0] for statement, _ in sent if statement.startswith("UPDATE")]
    assert written
    assert not any("trail" in columns for columns in written)


def test_failed_enqueue_and_retry_take_few_statements(store: SqlStore, sent: list[Sent]) -> None:
    refused = store.enqueue_failed(message(), new_turn(), FAILURE)
    assert refused is not None
    assert verbs(sent) == ["INSERT", "SELECT", "INSERT", *told(store)]
    sent.clear()
    store.retry_turn(refused.id, new_turn())
    assert verbs(sent) == ["UPDATE", "SELECT", "INSERT", "UPDATE"]


def test_cancelling_publishes_to_running_and_waiting_processes(store: SqlStore, sent: list[Sent]) -> None:
    queued, running = enqueue(store).turn, enqueue_and_claim(store, "other").turn
    sent.clear()
    store.cancel_turn(queued.id)
    assert verbs(sent) == ["UPDATE", "UPDATE", "SELECT"]
    sent.clear()
    store.cancel_turn(running.id)
    assert verbs(sent) == ["UPDATE", "UPDATE", *told(store), "SELECT"]


def test_a_stop_takes_two_statements_more(store: SqlStore, sent: list[Sent]) -> None:
    for _ in range(5):
        enqueue(store)
    sent.clear()
    enqueue_one(store, message(kind=MessageKind.STOP), new_turn())
    assert verbs(sent) == [*APPENDED, "UPDATE", "UPDATE"]


def test_write_that_misses_takes_three_statements_more(store: SqlStore, sent: list[Sent]) -> None:
    claim = enqueue_and_claim(store)
    store.apply_writes([answer(claim)])
    sent.clear()
    store.apply_writes([SetPostedMessages(claim.lease, claim.turn, ("1.1",))])
    assert verbs(sent) == [*locked(store), "UPDATE", "SELECT", "SELECT", "UPDATE"]


def test_values_locks_and_tokens_take_one_statement_each(store: SqlStore, sent: list[Sent]) -> None:
    turn = enqueue(store).turn
    sent.clear()
    store.record_feedback(Feedback(turn.id, "Ada", "good"))
    store.set_value("fact", "1")
    store.delete_value("fact")
    store.try_lock("lease", "one", 1.0)
    store.try_lock("lease", "one", 0)
    store.take_token("bucket", Rate(1.0), 0.0)
    store.block_for("bucket", 1.0)
    assert verbs(sent) == ["INSERT", "INSERT", "DELETE", "INSERT", "DELETE", "INSERT", "INSERT"]


def test_batch_that_misses_takes_one_statement_per_kind_of_write(store: SqlStore, sent: list[Sent]) -> None:
    claims = [enqueue_and_claim(store, f"{number}") for number in range(20)]
    for number in range(20):
        enqueue(store, f"{number}")
    sent.clear()
    changes: list[LeasedWrite] = []
    for claim in claims:  # only the first write on each conversation can hit
        bound = SetThread(claim.lease, ThreadId("t"), "x")
        changes += [bound, SetRun(claim.lease, claim.turn, RunId("r")), answer(claim), finish(claim)]
    assert len(store.apply_writes(changes)) == 80
    fenced = [*locked(store), *["UPDATE"] * 20]
    assert verbs(sent) == [*fenced, "SELECT", "SELECT", "UPDATE", "UPDATE", "UPDATE"]


def test_batch_takes_one_transaction(store: SqlStore, sent: list[Sent]) -> None:
    claims = [enqueue_and_claim(store, f"{number}") for number in range(20)]
    sent.clear()
    store.apply_writes([answer(claim) for claim in claims])
    assert verbs(sent) == [*locked(store), *["UPDATE"] * 20]


def test_claiming_many_takes_seven_statements(store: SqlStore, sent: list[Sent]) -> None:
    for number in range(20):
        enqueue(store, f"{number}")
    sent.clear()
    assert len(store.claim("one", [PLATFORM], 20)) == 20
    assert verbs(sent) == ["SELECT", "WITH", "WITH", "SELECT", "WITH", "SELECT", "UPDATE"]
    assert store.claim("one", [PLATFORM], 20) == ()  # it has looked all around
    sent.clear()
    assert store.claim("one", [PLATFORM], 20) == ()
    assert verbs(sent) == ["SELECT", "WITH", "WITH"]


def test_renewing_takes_two_statements(store: SqlStore, sent: list[Sent]) -> None:
    enqueue_and_claim(store)
    sent.clear()
    store.renew_leases("one")
    store.renew_leases("nobody")
    assert verbs(sent) == ["WITH", "SELECT", "WITH"]


def test_frequent_statements_scan_no_whole_table(store: SqlStore, sent: list[Sent]) -> None:
    fill(store)
    sent.clear()
    claim = enqueue_and_claim(store)
    enqueue(store)
    store.apply_writes([SetThread(claim.lease, ThreadId("t"), "x")])
    claim = known(claim, *store.apply_writes([SetRun(claim.lease, claim.turn, RunId("r"))]))
    claim = known(claim, *store.apply_writes([answer(claim)]))
    claim = known(claim, *store.apply_writes([SetPostedMessages(claim.lease, claim.turn, ("1.1",))]))
    (following,) = store.apply_writes([finish(claim)])
    assert isinstance(following, Claim)
    store.apply_writes([SetRun(following.lease, claim.turn, RunId("r")), ReleaseLease(following.lease)])
    (claim,) = store.claim("two", [PLATFORM], 5)
    store.renew_leases("two")
    enqueue_one(store, message(kind=MessageKind.STOP), new_turn())
    stop = message(kind=MessageKind.STOP, stops_channel=True)
    store.stopped_in_channel(enqueue_one(store, replace(stop, key=replace(stop.key, topic="new")), new_turn()).turn)
    store.count_turns(key(), "Ada", 60.0)
    store.cancel_turn(claim.turn.id)
    store.edit_queued(MessageEdited(PLATFORM, "m7", "Hallo"))
    store.find_turn_by_message(PLATFORM, "m7")
    store.record_feedback(Feedback(claim.turn.id, "Ada", "good"))
    store.feedback_on(claim.turn.id)
    store.delete_conversation(enqueue_one(store, message("short"), new_turn()).turn.conversation_id)
    store.find_conversation_by_thread(ThreadId("thread"))
    store.transcript(claim.conversation.id, limit=10)
    enqueue_one(store, message(name="m7"), new_turn())
    refused = store.enqueue_failed(message("refused"), new_turn(), FAILURE)
    assert refused is not None
    store.retry_turn(refused.id, new_turn())
    store.queue_depths()
    store.repair_clock_skew()
    plans = {statement: explain(store, statement, parameters) for statement, parameters in tuple(sent)}
    assert len(plans) > 15
    assert {statement: plan for statement, plan in plans.items() if WHOLE_TABLE.search(plan)} == {}


def test_a_claim_does_not_read_all_that_waits(store: SqlStore, sent: list[Sent]) -> None:
    fill(store)
    with store._database.transaction() as connection:
        connection.exec_driver_sql("UPDATE conversations SET next_at = 1, share = 'flood' WHERE platform = 'pigeon'")
    sent.clear()
    assert not store.claim("one", ["pigeon"], 1)  # they have no turns
    plans = [explain(store, *each) for each in tuple(sent) if "ring.share" in each[0]]
    assert plans
    assert not any("conversations_due" in plan for plan in plans)


def fill(store: SqlStore) -> None:
    """Inserts so many idle conversations that a scan costs more than an index."""
    store.import_thread(key("long"), ThreadId("thread"), "x", [Exchange("a", "b")] * 1500)
    with store._database.transaction() as connection:
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
    with store._database.read() as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{word} {statement}", one))


def test_reading_does_not_wait_for_a_writer(store: SqlStore, database_url: str) -> None:
    turn = enqueue(store).turn
    other = SqlStore(database_url)
    with other._database.transaction() as connection:
        connection.execute(sql.cancel, {"turn": turn.id})
        assert get_turn(store, turn) == turn
        assert store.transcript(turn.conversation_id) == [turn]
    assert get_turn(store, turn) != turn
    other.close()
