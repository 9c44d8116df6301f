"""Who writes is kept with names; whom an operator blocks is refused in every process, told once, and costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.domain.errors import Blocked
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnState
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import AdmissionControl, Denial
from gateway.ports.people import ChannelId, PersonId, Sighting
from gateway.ports.platform import KnownNames, ParsedUpdate
from gateway.worker.accepting.inbox import StoreInbox
from gateway.worker.accepting.people_recorder import PeopleRecorder
from gateway.worker.answering.assistant_runner import AssistantRunner
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.gateway.one_assistant import one_assistant
from tests.gateway.worker.test_inbox import Notes
from tests.gateway.worker_process import open_admission
from tests.waiting import until_async

EVE = PersonId("web", "eve")


@dataclass
class Process:
    """An inbox with its recorder, as one process has them."""

    inbox: StoreInbox
    admission: AdmissionControl
    recorder: PeopleRecorder
    worker: Notes

    def run(self, *work: Coroutine[Any, Any, Any]) -> Any:
        return [self.worker.run_coroutine(each) for each in work][-1]

    def receive(self, *messages: Message) -> None:
        """Takes in messages of a chat."""
        self.run(self.inbox.accept_all(ParsedUpdate(messages)))

    def learn_blocks(self) -> None:
        self.run(self.recorder.refresh_blocks())


@pytest.fixture
def processes(sqlite_store: SqlStore) -> Iterator[Callable[[], Process]]:
    workers: list[Notes] = []
    with ThreadPoolExecutor(1) as executor:

        def start() -> Process:
            worker, assistant, store = Notes(), FakeAssistant(), AsyncStore(sqlite_store, executor)
            workers.append(worker)
            admission = open_admission(sqlite_store, store)
            assistants = one_assistant(assistant, AssistantRunner(store, assistant, Metrics()))
            limits = Backpressure(max_total=20, max_per_platform=10)
            inbox = StoreInbox(
                *(store, assistants, worker, admission, limits, Metrics(), Tracing.disabled(), FileSpool()),
                max_backlog=3,
            )
            recorder = PeopleRecorder(store, sqlite_store.people, sqlite_store.blocks, admission.block_list)
            inbox.on_recorded, inbox.refused.may_tell = recorder.note, recorder.may_tell
            return Process(inbox, admission, recorder, worker)

        yield start
        for worker in workers:
            worker.runner.close()


def message(text: str = "hello", author: str = "eve", channel: str = "c", **more: Any) -> Message:
    return Message(ConversationKey("web", "ann", channel), f"{channel}:{text}:{author}", text, author, **more)


def transcript(store: SqlStore, channel: str = "c") -> list[Turn]:
    found = store.find_conversation(ConversationKey("web", "ann", channel))
    return list(store.transcript(found.id)) if found else []


def test_a_blocked_person_is_told_once_in_all_processes_and_every_message_counts(
    processes: Callable[[], Process], sqlite_store: SqlStore
) -> None:
    one, two = processes(), processes()
    sqlite_store.blocks.add(EVE, "ann", "spam")
    for process in (one, two):
        process.learn_blocks()
    one.receive(message("overheard", may_start_conversation=False))
    two.receive(message("1"))
    one.receive(message("2"))
    two.receive(message("3", kind=MessageKind.RESET))
    one.receive(message("4", author="bob"))
    told, answered = transcript(sqlite_store)
    assert (told.message.text, told.state, told.cost) == ("1", TurnState.FAILED, 0)
    assert told.failure is not None
    assert (told.failure.code, told.failure.user_message) == ("blocked", Blocked.default_message)
    assert answered.message.author == "bob"
    for process in (one, two):
        process.learn_blocks()
    block = sqlite_store.blocks.get(EVE)
    assert block is not None
    assert block.refused == 4
    assert block.told_at is not None


def test_a_caller_for_a_blocked_person_gets_an_error_each_time_however_the_name_is_written(
    processes: Callable[[], Process], sqlite_store: SqlStore
) -> None:
    process = processes()
    sqlite_store.blocks.add(PersonId("web", "Zoë"), "ann")
    process.learn_blocks()
    for name in ("Zoë", " zoë", "ZOE\N{COMBINING DIAERESIS}"):
        with pytest.raises(Blocked):
            process.run(process.inbox.accept(message(author=name, caller="key 1")))
    process.run(process.inbox.accept(message(author="zoë")))  # verified by its platform: somebody else
    assert [turn.message.author for turn in transcript(sqlite_store)] == ["zoë"]


def test_a_person_is_blocked_on_all_bots_of_the_platform_until_unblocked(
    processes: Callable[[], Process], sqlite_store: SqlStore
) -> None:
    process = processes()
    sqlite_store.blocks.add(EVE, "ann")
    process.learn_blocks()
    at_bot = replace(message(), key=ConversationKey("web:sales", "ann", "c"))
    with pytest.raises(Blocked):
        process.run(process.inbox.accept(at_bot))
    sqlite_store.blocks.remove(EVE)
    process.learn_blocks()
    process.run(process.inbox.accept(at_bot))


def test_a_turn_that_was_accepted_before_the_block_is_not_run(
    processes: Callable[[], Process], sqlite_store: SqlStore
) -> None:
    process = processes()
    process.worker.capacity = 0
    process.receive(message())
    sqlite_store.blocks.add(EVE, "ann")
    process.learn_blocks()
    (claim,) = sqlite_store.claim("me", ["web"], 1)
    decision = process.run(process.admission.admit(claim.turn))
    assert isinstance(decision, Denial)
    assert decision.failure.code == "blocked"


def test_who_writes_is_noted_with_name_and_place(processes: Callable[[], Process], sqlite_store: SqlStore) -> None:
    process = processes()
    process.receive(message(author_name="Eve M.", channel_name="#general"), message("again"), message(author=""))
    process.run(process.recorder.flush())
    eve = sqlite_store.people.get(EVE)
    assert eve is not None
    assert (eve.name, eve.bot, eve.workspace, eve.is_claimed) == ("Eve M.", "web", "ann", False)
    assert sqlite_store.people.channel_names([ChannelId("web", "c")]) == {ChannelId("web", "c"): "#general"}
    assert len(sqlite_store.people.find("", "", limit=5)) == 1


def test_what_the_staff_sends_is_no_sign_of_the_person_who_is_answered(
    processes: Callable[[], Process], sqlite_store: SqlStore
) -> None:
    process = processes()
    process.receive(message())
    process.run(process.recorder.flush())
    before = sqlite_store.people.get(EVE)
    assert before is not None
    given = replace(message("", may_start_conversation=False), caller="push staff Ann", given_reply="Hello.")
    process.run(process.inbox.accept(given), process.recorder.flush())
    assert sqlite_store.people.get(EVE) == before


def test_a_person_who_writes_often_is_stored_once_a_minute_or_when_renamed(
    processes: Callable[[], Process], sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, note = processes(), sqlite_store.people.note
    noted: list[Collection[Sighting]] = []

    def count(people: Collection[Sighting], channels: Mapping[ChannelId, str]) -> None:
        noted.append(people)
        note(people, channels)

    monkeypatch.setattr(sqlite_store.people, "note", count)
    process.receive(message(author_name="Eve"))
    process.run(process.recorder.flush())
    process.receive(message("again"), message("and again", author_name="Eve"))
    process.run(process.recorder.flush())
    assert len(noted) == 1
    (turn, *_) = transcript(sqlite_store)
    process.recorder.learn(turn, KnownNames("Eve N.", ""))
    process.run(process.recorder.flush())
    assert len(noted) == 2
    assert sqlite_store.people.names_of([EVE]) == {EVE: "Eve N."}


def test_messages_that_are_not_for_the_bot_note_nobody(
    processes: Callable[[], Process], sqlite_store: SqlStore
) -> None:
    process = processes()
    process.receive(message("overheard", may_start_conversation=False))
    process.run(process.recorder.flush())
    assert sqlite_store.people.get(EVE) is None


def test_the_list_is_read_again_each_second(processes: Callable[[], Process], sqlite_store: SqlStore) -> None:
    process = processes()

    async def block_while_it_runs() -> None:
        running = asyncio.create_task(process.recorder.run())
        sqlite_store.blocks.add(EVE, "ann")
        await until_async(lambda: process.admission.block_list.find(message()) is not None)
        running.cancel()

    process.run(block_while_it_runs())
