"""What adapters may ask of the core, with an engine that only notes what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from gateway.coordination.async_store import Journal
from gateway.coordination.backpressure import Pressure
from gateway.domain.errors import Blocked, Conflict, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.models import Claim, ConversationKey, Exchange, Message, ThreadId, TurnId, TurnState
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.ports.platform import Receipt
from gateway.ports.store import Bound, Finished, Settled
from gateway.worker.inbox import TURNED_AWAY, CoreInbox
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant, FakeThread
from tests.gateway.worker_process import open_gate

T = TypeVar("T")


@dataclass
class Notes:
    """A runner that runs nothing."""

    owner: str = "me"
    has_room: bool = True
    submitted: list[Claim] = field(default_factory=list)
    interrupted: list[TurnId] = field(default_factory=list)

    def room(self) -> bool:
        return self.has_room

    def holds(self, conversation: int) -> bool:
        return any(claim.lease.conversation == conversation for claim in self.submitted)

    def arriving(self) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(self, claim: Claim, since: float) -> None:
        self.submitted.append(claim)

    def interrupt(self, turn: TurnId) -> None:
        self.interrupted.append(turn)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def inbox(sqlite_store: SqlStore, assistant: FakeAssistant, notes: Notes) -> Iterator[CoreInbox]:
    pressure = Pressure(most=20, most_of_one=10)
    with ThreadPoolExecutor(1) as executor:
        gate = open_gate(sqlite_store, Journal(sqlite_store, executor), blocked="web:eve, web:den")
        yield CoreInbox(sqlite_store, assistant, notes, gate, pressure, Metrics(), Tracing.off(), backlog=3)


def key(channel: str = "c", *, platform: str = "web", workspace: str = "ann") -> ConversationKey:
    return ConversationKey(platform, workspace, channel)


def message(text: str, channel: str = "c", **options: str) -> Message:
    return Message(key(channel, **options), f"{channel}:{text}", text)


def test_the_first_message_of_an_idle_conversation_starts_at_once(inbox: CoreInbox, notes: Notes) -> None:
    accepted = inbox.accept(message("one"))
    assert (accepted.new, accepted.here) == (True, True)
    assert [claim.turn.id for claim in notes.submitted] == [accepted.turn.id]


def test_a_message_behind_another_waits_for_it_here(inbox: CoreInbox, notes: Notes) -> None:
    inbox.accept(message("one"))
    accepted = inbox.accept(message("two"))
    assert (accepted.turn.state, accepted.here) == (TurnState.QUEUED, True)
    assert len(notes.submitted) == 1


def test_without_room_a_message_is_recorded_for_whoever_has_some(inbox: CoreInbox, notes: Notes) -> None:
    notes.has_room = False
    accepted = inbox.accept(message("one"))
    assert (accepted.turn.state, accepted.new, accepted.here) == (TurnState.QUEUED, True, False)
    assert notes.submitted == []


def test_the_same_message_again_is_the_same_turn_and_starts_nothing(inbox: CoreInbox, notes: Notes) -> None:
    first = inbox.accept(message("one"))
    again = inbox.accept(message("one"))
    assert (again.turn.id, again.new) == (first.turn.id, False)
    assert len(notes.submitted) == 1


def test_a_turn_may_be_named_before_it_is_accepted(inbox: CoreInbox) -> None:
    name = inbox.new_turn()
    assert inbox.accept(message("one"), name).turn.id == name
    assert inbox.turn(name).message.text == "one"


def test_a_conversation_takes_no_more_than_its_backlog(inbox: CoreInbox) -> None:
    for n in range(3):
        inbox.accept(message(f"{n}"))
    with pytest.raises(Overloaded):
        inbox.accept(message("one too many"))
    assert inbox.accept(message("hello", "another")).new


def test_an_unknown_turn_is_not_found(inbox: CoreInbox) -> None:
    with pytest.raises(TurnNotFound):
        inbox.turn(TurnId("turn_x"))
    with pytest.raises(TurnNotFound):
        inbox.cancel(TurnId("turn_x"))


def test_cancelling_interrupts_and_may_be_repeated(inbox: CoreInbox, notes: Notes) -> None:
    turn = inbox.accept(message("one")).turn.id
    assert inbox.cancel(turn).state is TurnState.CANCELLED
    assert inbox.cancel(turn).state is TurnState.CANCELLED
    assert set(notes.interrupted) == {turn}


def test_a_decided_turn_cannot_be_cancelled(inbox: CoreInbox, notes: Notes, sqlite_store: SqlStore) -> None:
    turn = inbox.accept(message("one")).turn.id
    sqlite_store.write([Settled(notes.submitted[0].lease, turn, "done")])
    with pytest.raises(Conflict) as caught:
        inbox.cancel(turn)
    assert caught.value.code == "turn_finished"


def test_a_conversation_is_found_by_its_own_name_and_by_its_thread(
    inbox: CoreInbox, notes: Notes, sqlite_store: SqlStore
) -> None:
    inbox.accept(message("one"))
    sqlite_store.write([Bound(notes.submitted[0].lease, ThreadId("conv_1"), "fake")])
    assert inbox.locate(key("c")).key == key("c")
    assert inbox.locate(key("conv_1")).key == key("c")


@pytest.mark.parametrize("stranger", [key("conv_1", workspace="bob"), key("conv_1", platform="chat")])
def test_a_thread_is_not_found_by_anybody_else_even_if_the_backend_knows_it(
    inbox: CoreInbox, notes: Notes, assistant: FakeAssistant, sqlite_store: SqlStore, stranger: ConversationKey
) -> None:
    assistant.threads[ThreadId("conv_1")] = FakeThread()
    inbox.accept(message("one"))
    sqlite_store.write([Bound(notes.submitted[0].lease, ThreadId("conv_1"), "fake")])
    with pytest.raises(ThreadNotFound):
        inbox.locate(stranger)


def test_a_thread_that_only_the_backend_knows_is_adopted_with_its_past(
    inbox: CoreInbox, assistant: FakeAssistant
) -> None:
    assistant.threads[ThreadId("conv_9")] = FakeThread(remembers=[Exchange("hi", "hello"), Exchange("how?", "fine")])
    conversation = inbox.locate(key("conv_9"))
    assert conversation.thread == "conv_9"
    assert [(turn.message.text, turn.reply) for turn in inbox.transcript(conversation)] == [
        ("hi", "hello"),
        ("how?", "fine"),
    ]
    with pytest.raises(ThreadNotFound):
        inbox.locate(key("conv_9", workspace="bob"))


@pytest.mark.parametrize("name", ["conv_unknown", "", "../admin", "a b", "x" * 129, "conv_1\n"])
def test_a_thread_that_nobody_knows_is_not_found(inbox: CoreInbox, name: str) -> None:
    with pytest.raises(ThreadNotFound):
        inbox.locate(key(name))


def test_forgetting_cancels_and_deletes_here_and_at_the_backend(
    inbox: CoreInbox, notes: Notes, assistant: FakeAssistant, sqlite_store: SqlStore
) -> None:
    assistant.threads[ThreadId("conv_1")] = FakeThread()
    running = inbox.accept(message("one")).turn.id
    waiting = inbox.accept(message("two")).turn.id
    claim = notes.submitted[0]
    assistant.threads[ThreadId("conv_0")] = FakeThread()
    for thread in ("conv_0", "conv_1"):
        sqlite_store.write([Bound(claim.lease, ThreadId(thread), "fake")])
    cancelled = inbox.forget(inbox.locate(key("c")))
    assert [(turn.id, turn.state) for turn in cancelled] == [
        (running, TurnState.CANCELLED),
        (waiting, TurnState.CANCELLED),
    ]
    assert notes.interrupted == [running, waiting]
    assert assistant.threads == {}
    with pytest.raises(ThreadNotFound):
        inbox.locate(key("c"))
    with pytest.raises(TurnNotFound):
        inbox.turn(running)
    assert sqlite_store.write([Finished(claim.lease, running)])[0] is not None


def test_when_too_much_waits_a_chat_is_told_so_once_and_a_caller_at_once(
    inbox: CoreInbox, notes: Notes, sqlite_store: SqlStore
) -> None:
    notes.has_room = False
    for number in range(5):
        inbox.take(Receipt((message(f"{number}"),)))
    claim = sqlite_store.claim("me", ["web"], 1)[0]
    turns = sqlite_store.transcript(claim.conversation.id)
    assert [turn.state for turn in turns] == [TurnState.RUNNING, *[TurnState.QUEUED] * 2, TurnState.FAILED]
    assert turns[-1].failure is not None
    assert (turns[-1].failure.code, turns[-1].failure.sentence) == ("overloaded", TURNED_AWAY)
    with pytest.raises(Overloaded):
        inbox.accept(message("6"))


def test_above_what_may_wait_of_a_platform_new_messages_are_turned_away_and_known_ones_are_not(
    inbox: CoreInbox, notes: Notes
) -> None:
    notes.has_room = False
    for number in range(10):
        inbox.accept(message("hello", f"{number}"))
    with pytest.raises(Overloaded) as refusal:
        inbox.accept(message("hello", "10"))
    assert refusal.value.retry_after
    assert inbox.accept(message("hello", "0")).new is False


def test_whom_the_operator_blocks_nobody_answers_and_nothing_is_kept(
    inbox: CoreInbox, notes: Notes, sqlite_store: SqlStore
) -> None:
    eve = replace(message("hello"), author="eve")
    with pytest.raises(Blocked):
        inbox.accept(eve)
    inbox.take(Receipt((eve, message("hello", "den"))))
    assert sqlite_store.turn_of("web", "c:hello") is None
    assert notes.submitted == []
