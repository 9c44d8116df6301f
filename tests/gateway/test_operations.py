"""Tests of operations: timeline, retry, deletion and export of a person's data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway import operations
from gateway.domain.approvals import Approval, Decision
from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.context import ChatContext, Quote
from gateway.domain.errors import Conflict, TurnNotFound
from gateway.domain.models import Failure, Message, Parking, ThreadId, Turn, TurnId, TurnState
from gateway.domain.platform_events import Feedback
from gateway.operations import BackendThreads, ErasureResult
from gateway.ports.leased_writes import SetContext, SetThread
from gateway.ports.reporting import TurnFilter
from storage.store import SqlStore
from tests.contracts.reporting_helpers import answered_turn, enqueue_and_claim, enqueue_message, failed_turn
from tests.contracts.store_approvals import hold
from tests.contracts.store_helpers import PLATFORM, get_turn, key
from tests.contracts.unparsed_updates import unparsed
from tests.fakes.assistant import FakeAssistant
from tests.gateway.operations_harness import UndeletableThreadAssistant


@pytest.fixture
def store(sqlite_url: str) -> Iterator[SqlStore]:
    store = SqlStore(sqlite_url)
    yield store
    store.close()


@pytest.fixture
def assistant() -> UndeletableThreadAssistant:
    return UndeletableThreadAssistant()


@pytest.fixture
def threads(assistant: UndeletableThreadAssistant) -> BackendThreads:
    return BackendThreads(lambda _: assistant, asyncio.run)


def thread_of(store: SqlStore, turn: Turn) -> ThreadId | None:
    conversation = store.find_conversation(turn.message.key)
    assert conversation is not None
    return conversation.thread_id


# ---------------------------------------------------------------- timeline


def told(**more: Any) -> Turn:
    message = Message(key(), "m1", "Hello", "Ada")
    return Turn(TurnId("t1"), 1, 1, message, TurnState.DELIVERED, received_at=100.0, **more)


def test_the_timeline_is_in_order_with_the_seconds_between() -> None:
    audit_log = (
        AuditEntry(100.0, AuditEvent.RECEIVED, "one"),
        AuditEntry(100.5, AuditEvent.CLAIMED, "two"),
        AuditEntry(101.0, AuditEvent.RUN_STARTED, "run_1"),
    )
    turn = told(
        audit_log=audit_log,
        started_at=100.5,
        answered_at=103.0,
        delivered_at=103.25,
        posted_messages=("1.1", "1.2"),
    )
    assert [(entry.what, entry.detail, entry.after) for entry in operations.timeline(turn)] == [
        ("received by", "one", 0.0),
        ("claimed by", "two", 0.5),
        ("run", "run_1", 0.5),
        ("answered", "", 2.0),
        ("delivered as", "1.1, 1.2", 0.25),
    ]


def test_the_timeline_of_a_turn_without_an_audit_log_has_its_times() -> None:
    turn = told(started_at=101.0, answered_at=102.0)
    failed = replace(turn, state=TurnState.FAILED, failure=Failure("timed_out", "Too long."))
    assert [(entry.what, entry.detail) for entry in operations.timeline(failed)] == [
        ("received", ""),
        ("started", ""),
        ("failed", "timed_out"),
    ]
    assert [entry.what for entry in operations.timeline(told())] == ["received"]


def held(**more: Any) -> Approval:
    return Approval("appr_1", TurnId("t1"), 0, "c1", "refund", "{}", ("asker",), requested_at=102.0, **more)


@pytest.mark.parametrize(
    ("decided", "entries"),
    [
        ({}, []),
        (
            {"decision": Decision.APPROVED, "decided_by": "slack:U1", "decided_name": "Ann", "started_at": 104.0},
            [("approved by", "Ann: refund"), ("tool begun", "refund")],
        ),
        ({"decision": Decision.DENIED, "decided_by": "slack:U1"}, [("denied by", "slack:U1: refund")]),
        ({"decision": Decision.DENIED}, [("denied", "refund")]),
        ({"decision": Decision.EXPIRED}, [("approval expired", "refund")]),
    ],
)
def test_the_timeline_has_what_people_were_asked_and_decided(
    decided: dict[str, Any], entries: list[tuple[str, str]]
) -> None:
    if decided:
        decided = {"decided_at": 103.0, **decided}
    found = operations.timeline(told(started_at=101.0), [held(**decided)])
    assert [(entry.what, entry.detail) for entry in found[2:]] == [("approval asked", "refund"), *entries]


def test_a_turn_that_waits_says_for_what() -> None:
    parking = Parking("budget", "key", since=100.0, expires_at=700.0)
    turn = told(parking=parking)
    assert operations.parking_text(turn) == ""
    waiting = replace(turn, state=TurnState.QUEUED)
    text = "budget, since 1970-01-01T00:01:40.000Z, until 1970-01-01T00:11:40.000Z at the latest"
    assert operations.parking_text(waiting) == operations.turn_view(waiting)["waits_for"] == text
    assert operations.parking_text(replace(waiting, parking=replace(parking, woken_at=101.0))) == ""


def test_json_contains_no_control_characters() -> None:
    text = "\x1b[2J\x9b2J\x7f é"
    written = operations.as_json({"text": text})
    assert written.isprintable()
    assert "é" in written
    assert json.loads(written) == {"text": text}


# ---------------------------------------------------------------- retrying


def test_a_failed_turn_is_retried_once(store: SqlStore) -> None:
    turn = failed_turn(store)
    again = get_turn(store, operations.retry_turn(store, turn.id))
    assert (again.state, again.message.text, again.message.author) == (TurnState.QUEUED, "Hello", "Ada")
    assert again.id != turn.id
    with pytest.raises(Conflict):
        operations.retry_turn(store, turn.id)
    with pytest.raises(TurnNotFound):
        operations.retry_turn(store, TurnId("nothing"))


def test_all_retriable_turns_are_retried_oldest_first(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.operations.retrying.PAGE", 2)
    turns = [failed_turn(store, f"{number}") for number in range(5)]
    answered_turn(store)
    failed_turn(store, platform="owl")
    operations.retry_turn(store, turns[2].id)
    store.erase_author(conversation_of(store, turns[0]), "Ada")
    found = operations.failed_turns(store, TurnFilter(platform=PLATFORM, state=TurnState.FAILED))
    assert found == [turns[1].id, turns[3].id, turns[4].id]
    operations.retry_turn(store, turns[3].id)
    assert list(operations.retry_all(store, found)) == [turns[3].id]
    assert operations.failed_turns(store, TurnFilter(platform=PLATFORM, state=TurnState.FAILED)) == []


def conversation_of(store: SqlStore, turn: Turn) -> Any:
    found = store.get_conversation(turn.conversation_id)
    assert found is not None
    return found


# ---------------------------------------------------------------- a person's data


def test_a_persons_own_conversations_are_deleted_and_their_turns_in_others_erased(
    store: SqlStore, assistant: UndeletableThreadAssistant, threads: BackendThreads
) -> None:
    alone, shared = answered_turn(store, "alone"), answered_turn(store, "shared")
    bobs = answered_turn(store, "shared", author="Bob")
    elsewhere = answered_turn(store, "bobs", author="Bob")
    store.record_feedback(Feedback(elsewhere.id, "Ada", "bad"))
    deleted = {thread_of(store, alone), thread_of(store, shared)}
    assert operations.erase_person(store, threads, PLATFORM, "Ada") == ErasureResult(1, 1, 2, 2)
    assert set(assistant.deleted) == deleted
    assert assistant.closed
    assert store.get_turn(alone.id) is None
    assert (get_turn(store, shared).message.text, get_turn(store, bobs)) == ("", bobs)
    assert thread_of(store, shared) is None
    assert thread_of(store, elsewhere) not in assistant.deleted
    assert store.feedback_on(elsewhere.id) == []
    assert operations.erase_person(store, threads, PLATFORM, "Ada") == ErasureResult()


def test_unfinished_turns_are_cancelled_before_their_threads_are_deleted(
    store: SqlStore,
    assistant: UndeletableThreadAssistant,
    threads: BackendThreads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = enqueue_and_claim(store, "shared").turn
    queued, others = enqueue_message(store, "shared"), enqueue_message(store, "shared", author="Bob")
    states: list[TurnState] = []

    async def look(thread: ThreadId) -> None:
        states.extend(get_turn(store, turn).state for turn in (running, queued, others))

    monkeypatch.setattr(assistant, "delete_thread", look)
    assert operations.erase_person(store, threads, PLATFORM, "Ada").turns == 2
    assert states == [TurnState.CANCELLED, TurnState.CANCELLED, TurnState.QUEUED]


def test_a_conversation_stays_until_its_thread_can_be_deleted(
    store: SqlStore, assistant: UndeletableThreadAssistant, threads: BackendThreads
) -> None:
    alone, kept = answered_turn(store, "alone"), answered_turn(store, "kept")
    store.record_feedback(Feedback(kept.id, "Ada", "bad"))
    thread = thread_of(store, kept)
    assert thread is not None
    assistant.unreachable = {thread}
    first = operations.erase_person(store, threads, PLATFORM, "Ada")
    ((conversation, why),) = first.not_deleted
    assert (conversation.thread_id, why, first.conversations) == (thread, "the backend is unreachable", 1)
    assert store.get_turn(alone.id) is None
    assert get_turn(store, kept) == kept
    assert store.feedback_on(kept.id) != []
    assistant.unreachable.clear()
    assert operations.erase_person(store, threads, PLATFORM, "Ada") == ErasureResult(1, 0, 1, 1)
    assert store.get_turn(kept.id) is None


def test_a_conversation_with_a_thread_at_another_backend_stays_unless_threads_are_skipped(store: SqlStore) -> None:
    turn = answered_turn(store)
    thread, other = thread_of(store, turn), FakeAssistant("owls")
    left = operations.erase_person(store, BackendThreads(lambda _: other, asyncio.run), PLATFORM, "Ada").not_deleted
    assert [why for _, why in left] == ["its thread is at the backend pigeons, but owls is configured"]
    assert get_turn(store, turn) == turn
    assert thread is not None
    assert operations.erase_person(store, None, PLATFORM, "Ada") == ErasureResult(1, 0, 1, 0, (), (thread,))
    assert store.get_turn(turn.id) is None


def test_former_threads_are_deleted_or_reported_as_abandoned(
    store: SqlStore, assistant: UndeletableThreadAssistant, threads: BackendThreads
) -> None:
    claim = enqueue_and_claim(store)
    first = thread_of(store, claim.turn)
    for thread, backend in (("owl_1", "owls"), ("pigeon_1", assistant.name), ("pigeon_2", assistant.name)):
        store.apply_writes([SetThread(claim.lease, ThreadId(thread), backend)])
    result = operations.erase_person(store, threads, PLATFORM, "Ada")
    assert set(assistant.deleted) == {first, "pigeon_1", "pigeon_2"}
    assert (result.conversations, result.threads, result.abandoned) == (1, 3, ("owl_1",))


def test_without_a_thread_no_assistant_is_opened(store: SqlStore) -> None:
    enqueue_message(store)

    def open_assistant(_: str) -> FakeAssistant:
        raise AssertionError

    assert (
        operations.erase_person(store, BackendThreads(open_assistant, asyncio.run), PLATFORM, "Ada").conversations == 1
    )


def test_threads_and_messages_created_during_the_deletion_are_deleted_too(
    store: SqlStore,
    assistant: UndeletableThreadAssistant,
    threads: BackendThreads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = enqueue_and_claim(store)
    deleted: list[ThreadId] = []

    async def delete(thread: ThreadId) -> None:
        if not deleted:
            store.apply_writes([SetThread(claim.lease, ThreadId("second"), "pigeons")])
            enqueue_message(store, "another")
        deleted.append(thread)

    monkeypatch.setattr(assistant, "delete_thread", delete)
    assert operations.erase_person(store, threads, PLATFORM, "Ada") == ErasureResult(2, 0, 2, 2)
    assert deleted[1:] == ["second"]
    assert store.find_turns(TurnFilter(), limit=10) == []


def test_the_deletion_ends_even_if_the_person_keeps_writing(
    store: SqlStore,
    assistant: UndeletableThreadAssistant,
    threads: BackendThreads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered_turn(store, "0")

    async def delete(thread: ThreadId) -> None:
        answered_turn(store, thread)

    monkeypatch.setattr(assistant, "delete_thread", delete)
    ((_, why),) = operations.erase_person(store, threads, PLATFORM, "Ada").not_deleted
    assert why == operations.WRITTEN_DURING_DELETION


# ---------------------------------------------------------------- export


def exported(store: SqlStore, user: str = "Ada") -> Any:
    return json.loads("".join(operations.export(store, PLATFORM, user)))


def test_an_export_contains_everything_of_a_person_and_nothing_of_others(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.operations.personal_export.PAGE", 1)
    first, second = answered_turn(store, "shared", "Ωμέγα 🕊", "Grüße"), failed_turn(store, "alone")
    bobs = answered_turn(store, "shared", "secret", "answer", author="Bob")
    for turn in (first, bobs):
        store.record_feedback(Feedback(turn.id, "Ada", "good"))
    found = exported(store)
    assert [(each["id"], each["alone"], each["channel"]) for each in found["conversations"]] == [
        (first.conversation_id, False, "shared"),
        (second.conversation_id, True, "alone"),
    ]
    assert found["conversations"][0]["thread_id"] == thread_of(store, first)
    assert [turn["turn_id"] for turn in found["turns"]] == [first.id, second.id]
    exported_turn = found["turns"][0]
    assert (exported_turn["message"], exported_turn["reply"], exported_turn["state"]) == (
        "Ωμέγα 🕊",
        "Grüße",
        "delivered",
    )
    assert (
        exported_turn["files"]
        == exported_turn["reply_files"]
        == [{"name": "roof.png", "media_type": "image/png", "size": 3}]
    )
    assert exported_turn["received_at"] == operations.iso(first.received_at)
    assert found["turns"][1]["error"] == {"code": "timed_out", "message": "It took too long."}
    assert {verdict["turn_id"] for verdict in found["verdicts"]} == {first.id, bobs.id}
    assert not {"secret", "answer", "after 600 s"} & set(json.dumps(found).split('"'))
    assert (found["platform"], found["user"]) == (PLATFORM, "Ada")


def test_what_a_person_decided_about_calls_of_others_is_exported(store: SqlStore) -> None:
    claim, (asked, _) = hold(store, enqueue_and_claim(store, "shared", author="Bob"))
    store.decide(asked.id, Decision.DENIED, f"{PLATFORM}:Ada", "Ada L")
    (found,) = exported(store)["decisions"]
    assert found["decided_at"]
    assert found == {
        "turn_id": claim.turn.id,
        "tool": "refund",
        "decision": "denied",
        "decided_at": found["decided_at"],
    }
    assert exported(store, "Bob")["decisions"] == []


def test_what_turns_of_others_quote_of_a_person_is_exported_and_erased(
    store: SqlStore, threads: BackendThreads
) -> None:
    claim = enqueue_and_claim(store, "shared", author="Bob")
    context = ChatContext("Bob", quotes=(Quote("secret", "Ada", "Ada"), Quote("other", "Eve", "Eve")))
    store.apply_writes([SetContext(claim.lease, claim.turn, context)])
    assert exported(store, "Ada")["quoted"] == [{"turn_id": claim.turn.id, "text": "secret"}]
    operations.erase_person(store, threads, PLATFORM, "Ada")
    assert exported(store, "Ada")["quoted"] == []
    assert exported(store, "Eve")["quoted"] == [{"turn_id": claim.turn.id, "text": "other"}]


def test_the_export_of_an_unknown_person_is_empty(store: SqlStore) -> None:
    answered_turn(store)
    found = exported(store, "Eve")
    assert (found["conversations"], found["turns"], found["verdicts"]) == ([], [], [])


def test_unparsed_updates_of_a_person_are_exported_and_deleted(store: SqlStore, threads: BackendThreads) -> None:
    store.unparsed_updates.keep(unparsed("1", "Ada", text="secret"))
    store.unparsed_updates.keep(unparsed("2", "Bob", text="other"))
    store.unparsed_updates.keep(unparsed("3", sender={"id": "Ada"}, text="secret"))
    found = exported(store, "Ada")["unparsed_updates"]
    assert [json.loads(update["body"])["text"] for update in found] == ["secret", "secret"]
    assert {(update["workspace"], update["channel"]) for update in found} == {("loft", "roof")}
    assert operations.erase_person(store, threads, PLATFORM, "Ada") == ErasureResult(unparsed_updates=2)
    assert exported(store, "Ada")["unparsed_updates"] == []
    assert store.unparsed_updates.count(PLATFORM).count == 1
