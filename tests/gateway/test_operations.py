"""What operators do with what is in the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway import operations
from gateway.domain.errors import Conflict, TurnNotFound
from gateway.domain.models import Failure, Mark, Message, Step, ThreadId, Turn, TurnId, TurnState, Verdict
from gateway.operations import Forgotten, Threads
from gateway.ports.reporting import Search
from gateway.ports.store import Bound
from tests.contracts.reporting_helpers import begin, fail, settle, tell
from tests.contracts.store_helpers import PLATFORM, key, read
from tests.fakes.assistant import FakeAssistant
from tests.gateway.operations_harness import PigeonAssistant, SqlBooks


@pytest.fixture
def books(sqlite_url: str) -> Iterator[SqlBooks]:
    books = SqlBooks(sqlite_url)
    yield books
    books.close()


@pytest.fixture
def assistant() -> PigeonAssistant:
    return PigeonAssistant()


@pytest.fixture
def threads(assistant: PigeonAssistant) -> Threads:
    return Threads(lambda: assistant, asyncio.run)


def thread_of(books: SqlBooks, turn: Turn) -> ThreadId | None:
    conversation = books.conversation(turn.message.key)
    assert conversation is not None
    return conversation.thread


# ---------------------------------------------------------------- a turn's way


def told(**more: Any) -> Turn:
    message = Message(key(), "m1", "Hello", "Ada")
    return Turn(TurnId("t1"), 1, 1, message, TurnState.DELIVERED, received_at=100.0, **more)


def test_moments_come_in_their_order_with_the_seconds_between() -> None:
    trail = Step(100.0, Mark.RECEIVED, "one"), Step(100.5, Mark.CLAIMED, "two"), Step(101.0, Mark.RUN, "run_1")
    turn = told(trail=trail, started_at=100.5, answered_at=103.0, delivered_at=103.25, parts=("1.1", "1.2"))
    assert [(moment.what, moment.detail, moment.after) for moment in operations.moments(turn)] == [
        ("received by", "one", 0.0),
        ("claimed by", "two", 0.5),
        ("run", "run_1", 0.5),
        ("answered", "", 2.0),
        ("delivered as", "1.1, 1.2", 0.25),
    ]


def test_a_turn_without_a_trail_has_its_times() -> None:
    turn = told(started_at=101.0, answered_at=102.0)
    failed = replace(turn, state=TurnState.FAILED, failure=Failure("timed_out", "Too long."))
    assert [(moment.what, moment.detail) for moment in operations.moments(failed)] == [
        ("received", ""),
        ("started", ""),
        ("failed", "timed_out"),
    ]
    assert [moment.what for moment in operations.moments(told())] == ["received"]


def test_json_says_nothing_to_a_terminal() -> None:
    text = "\x1b[2J\x9b2J\x7f é"
    written = operations.as_json({"text": text})
    assert written.isprintable()
    assert "é" in written
    assert json.loads(written) == {"text": text}


# ---------------------------------------------------------------- trying again


def test_a_failed_turn_is_tried_again(books: SqlBooks) -> None:
    turn = fail(books)
    again = read(books, operations.retry(books, turn.id))
    assert (again.state, again.message.text, again.message.author) == (TurnState.QUEUED, "Hello", "Ada")
    assert again.id != turn.id
    with pytest.raises(Conflict):
        operations.retry(books, turn.id)
    with pytest.raises(TurnNotFound):
        operations.retry(books, TurnId("nothing"))


def test_all_that_failed_and_can_be_is_tried_again_oldest_first(
    books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "PAGE", 2)
    turns = [fail(books, f"{number}") for number in range(5)]
    settle(books)
    fail(books, platform="owl")
    operations.retry(books, turns[2].id)
    books.erase_person(conversation_of(books, turns[0]), "Ada")
    found = operations.failed(books, Search(platform=PLATFORM, state=TurnState.FAILED))
    assert found == [turns[1].id, turns[3].id, turns[4].id]
    operations.retry(books, turns[3].id)
    assert list(operations.retry_all(books, found)) == [turns[3].id]
    assert operations.failed(books, Search(platform=PLATFORM, state=TurnState.FAILED)) == []


def conversation_of(books: SqlBooks, turn: Turn) -> Any:
    found = books.conversation_by_id(turn.conversation)
    assert found is not None
    return found


# ---------------------------------------------------------------- a person's data


def test_conversations_of_one_person_are_deleted_and_their_part_of_others_erased(
    books: SqlBooks, assistant: PigeonAssistant, threads: Threads
) -> None:
    alone, shared = settle(books, "alone"), settle(books, "shared")
    bobs = settle(books, "shared", author="Bob")
    elsewhere = settle(books, "bobs", author="Bob")
    books.judge(Verdict(elsewhere.id, "Ada", "bad"))
    deleted = {thread_of(books, alone), thread_of(books, shared)}
    assert operations.forget(books, threads, PLATFORM, "Ada") == Forgotten(1, 1, 2, 2)
    assert set(assistant.deleted) == deleted
    assert assistant.closed
    assert books.turn(alone.id) is None
    assert (read(books, shared).message.text, read(books, bobs)) == ("", bobs)
    assert thread_of(books, shared) is None
    assert thread_of(books, elsewhere) not in assistant.deleted
    assert books.verdicts(elsewhere.id) == []
    assert operations.forget(books, threads, PLATFORM, "Ada") == Forgotten()


def test_open_turns_are_cancelled_before_their_threads_are_deleted(
    books: SqlBooks, assistant: PigeonAssistant, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin(books, "shared").turn
    queued, others = tell(books, "shared"), tell(books, "shared", author="Bob")
    states: list[TurnState] = []

    async def look(thread: ThreadId) -> None:
        states.extend(read(books, turn).state for turn in (running, queued, others))

    monkeypatch.setattr(assistant, "forget", look)
    assert operations.forget(books, threads, PLATFORM, "Ada").turns == 2
    assert states == [TurnState.CANCELLED, TurnState.CANCELLED, TurnState.QUEUED]


def test_a_thread_that_cannot_be_deleted_keeps_its_conversation_until_the_next_time(
    books: SqlBooks, assistant: PigeonAssistant, threads: Threads
) -> None:
    alone, kept = settle(books, "alone"), settle(books, "kept")
    books.judge(Verdict(kept.id, "Ada", "bad"))
    thread = thread_of(books, kept)
    assert thread is not None
    assistant.unreachable = {thread}
    first = operations.forget(books, threads, PLATFORM, "Ada")
    ((conversation, why),) = first.left
    assert (conversation.thread, why, first.conversations) == (thread, "the loft is closed", 1)
    assert books.turn(alone.id) is None
    assert read(books, kept) == kept
    assert books.verdicts(kept.id) != []
    assistant.unreachable.clear()
    assert operations.forget(books, threads, PLATFORM, "Ada") == Forgotten(1, 0, 1, 1)
    assert books.turn(kept.id) is None


def test_a_thread_of_another_backend_is_left_unless_threads_are_not_asked_for(books: SqlBooks) -> None:
    turn = settle(books)
    thread, other = thread_of(books, turn), FakeAssistant("owls")
    left = operations.forget(books, Threads(lambda: other, asyncio.run), PLATFORM, "Ada").left
    assert [why for _, why in left] == ["the backend pigeons opened it, and owls is set"]
    assert read(books, turn) == turn
    assert thread is not None
    assert operations.forget(books, None, PLATFORM, "Ada") == Forgotten(1, 0, 1, 0, (), (thread,))
    assert books.turn(turn.id) is None


def test_threads_from_before_a_new_beginning_are_deleted_too_and_named_where_they_cannot_be(
    books: SqlBooks, assistant: PigeonAssistant, threads: Threads
) -> None:
    claim = begin(books)
    first = thread_of(books, claim.turn)
    for thread, backend in (("owl_1", "owls"), ("pigeon_1", assistant.name), ("pigeon_2", assistant.name)):
        books.write([Bound(claim.lease, ThreadId(thread), backend)])
    forgotten = operations.forget(books, threads, PLATFORM, "Ada")
    assert set(assistant.deleted) == {first, "pigeon_1", "pigeon_2"}
    assert (forgotten.conversations, forgotten.threads, forgotten.abandoned) == (1, 3, ("owl_1",))


def test_where_there_is_no_thread_no_assistant_is_opened(books: SqlBooks) -> None:
    tell(books)

    def open_assistant() -> FakeAssistant:
        raise AssertionError

    assert operations.forget(books, Threads(open_assistant, asyncio.run), PLATFORM, "Ada").conversations == 1


def test_what_is_opened_and_said_meanwhile_is_deleted_too(
    books: SqlBooks, assistant: PigeonAssistant, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = begin(books)
    deleted: list[ThreadId] = []

    async def delete(thread: ThreadId) -> None:
        if not deleted:
            books.write([Bound(claim.lease, ThreadId("second"), "pigeons")])
            tell(books, "another")
        deleted.append(thread)

    monkeypatch.setattr(assistant, "forget", delete)
    assert operations.forget(books, threads, PLATFORM, "Ada") == Forgotten(2, 0, 2, 2)
    assert deleted[1:] == ["second"]
    assert books.find(Search(), limit=10) == []


def test_whoever_goes_on_writing_is_not_waited_for_for_ever(
    books: SqlBooks, assistant: PigeonAssistant, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(books, "0")

    async def delete(thread: ThreadId) -> None:
        settle(books, thread)

    monkeypatch.setattr(assistant, "forget", delete)
    ((_, why),) = operations.forget(books, threads, PLATFORM, "Ada").left
    assert why == operations.WRITTEN_MEANWHILE


# ---------------------------------------------------------------- handing it out


def exported(books: SqlBooks, user: str = "Ada") -> Any:
    return json.loads("".join(operations.export(books, PLATFORM, user)))


def test_everything_of_a_person_is_handed_out_and_nothing_of_others(
    books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "PAGE", 1)
    first, second = settle(books, "shared", "Ωμέγα 🕊", "Grüße"), fail(books, "alone")
    bobs = settle(books, "shared", "secret", "answer", author="Bob")
    for turn in (first, bobs):
        books.judge(Verdict(turn.id, "Ada", "good"))
    found = exported(books)
    assert [(each["id"], each["alone"], each["channel"]) for each in found["conversations"]] == [
        (first.conversation, False, "shared"),
        (second.conversation, True, "alone"),
    ]
    assert found["conversations"][0]["thread_id"] == thread_of(books, first)
    assert [turn["turn_id"] for turn in found["turns"]] == [first.id, second.id]
    told = found["turns"][0]
    assert (told["message"], told["reply"], told["state"]) == ("Ωμέγα 🕊", "Grüße", "delivered")
    assert told["files"] == told["reply_files"] == [{"name": "roof.png", "media_type": "image/png", "size": 3}]
    assert told["received_at"] == operations.iso(first.received_at)
    assert found["turns"][1]["error"] == {"code": "timed_out", "message": "It took too long."}
    assert {verdict["turn_id"] for verdict in found["verdicts"]} == {first.id, bobs.id}
    assert not {"secret", "answer", "after 600 s"} & set(json.dumps(found).split('"'))
    assert (found["platform"], found["user"]) == (PLATFORM, "Ada")


def test_nothing_is_handed_out_of_somebody_unknown(books: SqlBooks) -> None:
    settle(books)
    found = exported(books, "Eve")
    assert (found["conversations"], found["turns"], found["verdicts"]) == ([], [], [])
