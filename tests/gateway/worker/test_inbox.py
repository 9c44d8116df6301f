"""Tests of StoreInbox, with a worker that only records its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.domain.conversations import Claim
from gateway.domain.errors import (
    AssistantRefused,
    Blocked,
    Conflict,
    Overloaded,
    StoreUnavailable,
    ThreadNotFound,
    TurnNotFound,
)
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Join, Message, MessageKind, ThreadId, Turn, TurnId, TurnState
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from gateway.ports.inbox import AcceptResult
from gateway.ports.leased_writes import FinishTurn, RecordOutcome, SetThread
from gateway.ports.platform import ParsedUpdate
from gateway.ports.store import ANY_PLACES, Places
from gateway.worker.accepting.inbox import StoreInbox
from gateway.worker.accepting.refused_messages import OVERLOADED_REPLY
from gateway.worker.accepting.thread_inbox import ThreadInbox
from gateway.worker.answering.assistant_runner import AssistantRunner
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant, FakeThread
from tests.gateway.one_assistant import one_assistant
from tests.gateway.worker_process import open_admission

T = TypeVar("T")


@dataclass
class Notes:
    """A worker that records its calls and runs nothing."""

    owner: str = "me"
    capacity: int = 50
    submitted: list[Claim] = field(default_factory=list)
    interrupted: list[TurnId] = field(default_factory=list)
    woken: list[float] = field(default_factory=list)
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def places(self) -> Places:
        return ANY_PLACES

    def share(self) -> int:
        return self.capacity - len(self.submitted)

    def is_processing(self, conversation_id: int) -> bool:
        return any(claim.lease.conversation_id == conversation_id for claim in self.submitted)

    def accepting(self) -> AbstractContextManager[None]:
        return nullcontext()

    def start_claim(self, claim: Claim, since: float) -> None:
        self.submitted.append(claim)

    def interrupt_turn(self, turn_id: TurnId) -> None:
        self.interrupted.append(turn_id)

    def wake_up(self, delay: float = 0.0) -> None:
        self.woken.append(delay)

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


@pytest.fixture
def worker() -> Iterator[Notes]:
    notes = Notes()
    yield notes
    notes.runner.close()


@pytest.fixture
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def async_inbox(sqlite_store: SqlStore, assistant: FakeAssistant, worker: Notes) -> Iterator[StoreInbox]:
    backpressure = Backpressure(max_total=20, max_per_platform=10)
    with ThreadPoolExecutor(1) as executor:
        store = AsyncStore(sqlite_store, executor)
        gatekeeper = open_admission(sqlite_store, store, blocked="web:eve, web:den")
        assistants = one_assistant(assistant, AssistantRunner(store, assistant, Metrics()))
        yield StoreInbox(
            *(store, assistants, worker, gatekeeper, backpressure, Metrics(), Tracing.disabled(), FileSpool()),
            max_backlog=3,
        )


@pytest.fixture
def inbox(async_inbox: StoreInbox, worker: Notes) -> ThreadInbox:
    return ThreadInbox(async_inbox, worker)


def key(channel: str = "c", *, platform: str = "web", workspace: str = "ann") -> ConversationKey:
    return ConversationKey(platform, workspace, channel)


def message(text: str, channel: str = "c", **options: str) -> Message:
    return Message(key(channel, **options), f"{channel}:{text}", text)


def test_the_first_message_of_an_idle_conversation_starts_at_once(inbox: ThreadInbox, worker: Notes) -> None:
    accepted = inbox.accept(message("one"))
    assert (accepted.is_new, accepted.claimed_here) == (True, True)
    assert [claim.turn.id for claim in worker.submitted] == [accepted.turn.id]


def test_a_second_message_is_queued_in_the_process_that_runs_the_first(inbox: ThreadInbox, worker: Notes) -> None:
    inbox.accept(message("one"))
    accepted = inbox.accept(message("two"))
    assert (accepted.turn.state, accepted.claimed_here) == (TurnState.QUEUED, True)
    assert len(worker.submitted) == 1


def test_without_capacity_a_message_is_recorded_but_not_claimed(inbox: ThreadInbox, worker: Notes) -> None:
    worker.capacity = 0
    accepted = inbox.accept(message("one"))
    assert (accepted.turn.state, accepted.is_new, accepted.claimed_here) == (TurnState.QUEUED, True, False)
    assert worker.submitted == []


def test_a_repeated_message_returns_its_turn_and_starts_nothing(inbox: ThreadInbox, worker: Notes) -> None:
    first = inbox.accept(message("one"))
    again = inbox.accept(message("one"))
    assert (again.turn.id, again.is_new) == (first.turn.id, False)
    assert len(worker.submitted) == 1


def test_a_turn_id_may_be_chosen_before_the_message_is_accepted(inbox: ThreadInbox) -> None:
    turn_id = inbox.new_turn_id()
    assert inbox.accept(message("one"), turn_id).turn.id == turn_id
    assert inbox.get_turn(turn_id).message.text == "one"


def test_a_conversation_rejects_messages_beyond_its_backlog(inbox: ThreadInbox) -> None:
    for n in range(3):
        inbox.accept(message(f"{n}"))
    with pytest.raises(Overloaded):
        inbox.accept(message("one too many"))
    assert inbox.accept(message("hello", "another")).is_new


def test_an_unknown_turn_is_not_found(inbox: ThreadInbox) -> None:
    with pytest.raises(TurnNotFound):
        inbox.get_turn(TurnId("turn_x"))
    with pytest.raises(TurnNotFound):
        inbox.cancel_turn(TurnId("turn_x"))


def test_cancelling_interrupts_the_turn_and_may_be_repeated(inbox: ThreadInbox, worker: Notes) -> None:
    turn = inbox.accept(message("one")).turn.id
    assert inbox.cancel_turn(turn).state is TurnState.CANCELLED
    assert inbox.cancel_turn(turn).state is TurnState.CANCELLED
    assert set(worker.interrupted) == {turn}


def test_a_resolved_turn_cannot_be_cancelled(inbox: ThreadInbox, worker: Notes, sqlite_store: SqlStore) -> None:
    inbox.accept(message("one"))
    claim = worker.submitted[0]
    sqlite_store.apply_writes([RecordOutcome(claim.lease, claim.turn, "done")])
    with pytest.raises(Conflict) as caught:
        inbox.cancel_turn(claim.turn.id)
    assert caught.value.code == "turn_finished"


def test_a_conversation_is_found_by_its_channel_and_by_its_thread_id(
    inbox: ThreadInbox, worker: Notes, sqlite_store: SqlStore
) -> None:
    inbox.accept(message("one"))
    sqlite_store.apply_writes([SetThread(worker.submitted[0].lease, ThreadId("conv_1"), "fake")])
    assert inbox.resolve_conversation(key("c")).key == key("c")
    assert inbox.resolve_conversation(key("conv_1")).key == key("c")


@pytest.mark.parametrize("stranger", [key("conv_1", workspace="bob"), key("conv_1", platform="chat")])
def test_a_thread_of_another_workspace_or_platform_is_not_found(
    inbox: ThreadInbox, worker: Notes, assistant: FakeAssistant, sqlite_store: SqlStore, stranger: ConversationKey
) -> None:
    assistant.threads[ThreadId("conv_1")] = FakeThread()
    inbox.accept(message("one"))
    sqlite_store.apply_writes([SetThread(worker.submitted[0].lease, ThreadId("conv_1"), "fake")])
    with pytest.raises(ThreadNotFound):
        inbox.resolve_conversation(stranger)


def test_a_thread_that_only_the_backend_knows_is_imported_with_its_history(
    inbox: ThreadInbox, assistant: FakeAssistant
) -> None:
    assistant.threads[ThreadId("conv_9")] = FakeThread(history=[Exchange("hi", "hello"), Exchange("how?", "fine")])
    conversation = inbox.resolve_conversation(key("conv_9"))
    assert conversation.thread_id == "conv_9"
    assert [(turn.message.text, turn.reply) for turn in inbox.transcript(conversation)] == [
        ("hi", "hello"),
        ("how?", "fine"),
    ]
    with pytest.raises(ThreadNotFound):
        inbox.resolve_conversation(key("conv_9", workspace="bob"))


def test_a_thread_that_was_only_imported_is_not_deleted_at_the_backend(
    inbox: ThreadInbox, assistant: FakeAssistant
) -> None:
    assistant.threads[ThreadId("conv_9")] = FakeThread(history=[Exchange("hi", "hello")])
    assert inbox.delete_conversation(inbox.resolve_conversation(key("conv_9"))) == ()
    assert "conv_9" in assistant.threads
    with pytest.raises(ThreadNotFound):
        inbox.resolve_conversation(key("conv_9"), may_adopt=False)
    assert inbox.resolve_conversation(key("conv_9")).thread_id == "conv_9"


def test_a_thread_from_before_a_reset_cannot_be_read_by_somebody_else(
    inbox: ThreadInbox, worker: Notes, assistant: FakeAssistant, sqlite_store: SqlStore
) -> None:
    assistant.threads[ThreadId("conv_1")] = FakeThread(history=[Exchange("secret", "hello")])
    inbox.accept(message("one"))
    lease = worker.submitted[0].lease
    sqlite_store.apply_writes([SetThread(lease, ThreadId("conv_1"), "fake"), SetThread(lease, None, "")])
    with pytest.raises(ThreadNotFound):
        inbox.resolve_conversation(key("conv_1", workspace="bob"))
    assert inbox.resolve_conversation(key("conv_1")).key == key("c")


@pytest.mark.parametrize("thread", ["conv_unknown", "", "../admin", "a b", "x" * 129, "conv_1\n"])
def test_an_unknown_or_malformed_thread_id_is_not_found(inbox: ThreadInbox, thread: str) -> None:
    with pytest.raises(ThreadNotFound):
        inbox.resolve_conversation(key(thread))


def test_deleting_a_conversation_cancels_its_turns_and_deletes_its_threads(
    inbox: ThreadInbox, worker: Notes, assistant: FakeAssistant, sqlite_store: SqlStore
) -> None:
    assistant.threads[ThreadId("conv_1")] = FakeThread()
    running = inbox.accept(message("one")).turn.id
    waiting = inbox.accept(message("two")).turn.id
    claim = worker.submitted[0]
    assistant.threads[ThreadId("conv_0")] = FakeThread()
    for thread in ("conv_0", "conv_1"):
        sqlite_store.apply_writes([SetThread(claim.lease, ThreadId(thread), "fake")])
    cancelled = inbox.delete_conversation(inbox.resolve_conversation(key("c")))
    assert [(turn.id, turn.state) for turn in cancelled] == [
        (running, TurnState.CANCELLED),
        (waiting, TurnState.CANCELLED),
    ]
    assert worker.interrupted == [running, waiting]
    assert assistant.threads == {}
    with pytest.raises(ThreadNotFound):
        inbox.resolve_conversation(key("c"))
    with pytest.raises(TurnNotFound):
        inbox.get_turn(running)
    assert sqlite_store.apply_writes([FinishTurn(claim.lease, claim.turn)])[0] is not None


def test_beyond_the_backlog_a_chat_is_told_once_and_a_caller_gets_an_error(
    inbox: ThreadInbox, worker: Notes, sqlite_store: SqlStore
) -> None:
    worker.capacity = 0
    for number in range(5):
        inbox.accept_all(ParsedUpdate((message(f"{number}"),)))
    claim = sqlite_store.claim("me", ["web"], 1)[0]
    turns = sqlite_store.transcript(claim.conversation.id)
    assert [turn.state for turn in turns] == [TurnState.RUNNING, *[TurnState.QUEUED] * 2, TurnState.FAILED]
    assert turns[-1].failure is not None
    assert (turns[-1].failure.code, turns[-1].failure.user_message) == ("overloaded", OVERLOADED_REPLY)
    with pytest.raises(Overloaded):
        inbox.accept(message("6"))


def test_under_backpressure_new_messages_are_rejected_and_known_ones_are_not(inbox: ThreadInbox, worker: Notes) -> None:
    worker.capacity = 0
    for number in range(10):
        inbox.accept(message("hello", f"{number}"))
    with pytest.raises(Overloaded) as refusal:
        inbox.accept(message("hello", "10"))
    assert refusal.value.retry_after
    assert inbox.accept(message("hello", "0")).is_new is False


def test_a_message_of_a_blocked_person_is_rejected_and_not_stored(
    inbox: ThreadInbox, worker: Notes, sqlite_store: SqlStore
) -> None:
    eve = replace(message("hello"), author="eve")
    with pytest.raises(Blocked):
        inbox.accept(eve)
    inbox.accept_all(ParsedUpdate((eve, message("hello", "den"))))
    assert sqlite_store.find_turn_by_message("web", "c:hello") is None
    assert worker.submitted == []


def accept_together(async_inbox: StoreInbox, worker: Notes, *messages: Message) -> list[AcceptResult | BaseException]:
    async def accept_all() -> list[AcceptResult | BaseException]:
        return await asyncio.gather(*map(async_inbox.accept, messages), return_exceptions=True)

    return worker.run_coroutine(accept_all())


def test_messages_that_arrive_together_share_a_commit(
    async_inbox: StoreInbox, worker: Notes, sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, groups = sqlite_store.enqueue_all, []

    def note(requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult | Exception]:
        groups.append([request.message.text for request in requests])
        return commit(requests)

    monkeypatch.setattr(sqlite_store, "enqueue_all", note)
    eve = replace(message("0", "web"), author="eve")
    results = accept_together(async_inbox, worker, message("1"), eve, message("2"), message("3", "d"), message("1"))
    assert groups == [["1", "2", "3", "1"]]
    first, blocked, second, other, repeated = results
    assert isinstance(blocked, Blocked)
    accepted = [each for each in (first, second, other, repeated) if isinstance(each, AcceptResult)]
    assert [(each.turn.seq, each.is_new, each.claimed_here) for each in accepted] == [
        (1, True, True),
        (2, True, True),
        (1, True, True),
        (1, False, True),
    ]
    assert [claim.turn.id for claim in worker.submitted] == [accepted[0].turn.id, accepted[2].turn.id]


def test_no_more_conversations_are_claimed_together_than_there_is_capacity_for(
    async_inbox: StoreInbox, worker: Notes
) -> None:
    worker.capacity = 2
    results = accept_together(async_inbox, worker, *(message("hello", f"{number}") for number in range(5)))
    assert [each.claimed_here for each in results if isinstance(each, AcceptResult)] == [True, True, *[False] * 3]
    assert len(worker.submitted) == 2


def test_a_stop_in_a_group_interrupts_the_turn_that_the_group_started(async_inbox: StoreInbox, worker: Notes) -> None:
    stop = replace(message("stop"), kind=MessageKind.STOP)
    first, _ = accept_together(async_inbox, worker, message("one"), stop)
    assert isinstance(first, AcceptResult)
    assert (worker.submitted[0].turn.id, worker.interrupted) == (first.turn.id, [first.turn.id])


def test_an_album_keeps_the_pictures_before_the_one_that_opens_its_turn(inbox: ThreadInbox, worker: Notes) -> None:
    album = [
        replace(
            message("album"), text=text, files=(File(name, name),), album_item_id=name, may_start_conversation=opens
        )
        for name, text, opens in (("1.jpg", "", False), ("2.jpg", "look", True), ("3.jpg", "", False))
    ]
    album = [replace(item, debounce_seconds=60.0) for item in album]
    for item in (*album, album[0]):
        inbox.accept_all(ParsedUpdate((item,)))
    assert worker.submitted == []
    (turn,) = inbox.transcript(inbox.resolve_conversation(album[0].key))
    assert [file.name for file in turn.message.files] == ["1.jpg", "2.jpg", "3.jpg"]
    assert turn.message.text == "look"


@pytest.mark.parametrize("deleted", [False, True])
def test_an_album_has_what_came_before_its_turn_as_it_was_left(inbox: ThreadInbox, *, deleted: bool) -> None:
    early, opener = (
        replace(
            message("album"), text=text, files=(File(name, name),), album_item_id=name, may_start_conversation=opens
        )
        for name, text, opens in (("1.jpg", "first", False), ("2.jpg", "look", True))
    )
    platform, own_id = early.key.platform, early.own_id
    change = MessageDeleted(platform, own_id) if deleted else MessageEdited(platform, own_id, "second")
    for update in (ParsedUpdate((early,)), ParsedUpdate(events=(change,)), ParsedUpdate((opener,))):
        inbox.accept_all(update)
    (turn,) = inbox.transcript(inbox.resolve_conversation(opener.key))
    assert turn.message.text == ("look" if deleted else "second\nlook")
    assert [file.name for file in turn.message.files] == (["2.jpg"] if deleted else ["1.jpg", "2.jpg"])


def test_a_program_gets_no_more_turns_than_it_may_have(inbox: ThreadInbox, worker: Notes) -> None:
    for number in range(4):
        said = replace(message(str(number)), author="B0OTHER", max_from_author=2)
        inbox.accept_all(ParsedUpdate((said,)))
    inbox.accept_all(ParsedUpdate((message("a person's"),)))
    assert len(inbox.transcript(worker.submitted[0].conversation)) == 3


def test_while_the_database_is_unavailable_all_of_a_group_are_refused(
    async_inbox: StoreInbox, worker: Notes, sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_store, "enqueue_all", away)
        results = accept_together(async_inbox, worker, message("1"), message("2"))
    assert [type(each) for each in results] == [StoreUnavailable] * 2
    assert worker.submitted == []
    assert all(isinstance(each, AcceptResult) for each in accept_together(async_inbox, worker, message("1")))


# ---------------------------------------------------------------- two events about one message

PICTURE, NOTES = File("shot.png", "F1"), File("notes.txt", "F2")
MENTION = replace(message("look"), debounce_seconds=60.0)


def tell(inbox: ThreadInbox, *messages: Message) -> None:
    for said in messages:
        inbox.accept_all(ParsedUpdate((said,)))


def turns_of(inbox: ThreadInbox) -> Sequence[Turn]:
    return inbox.transcript(inbox.resolve_conversation(key()))


def test_what_a_second_event_says_more_joins_the_turn_which_waits_no_longer(inbox: ThreadInbox, worker: Notes) -> None:
    tell(inbox, MENTION, replace(message("look"), text="look\n\nForwarded: x", files=(PICTURE,)))
    (turn,) = turns_of(inbox)
    assert (turn.message.text, turn.message.files) == ("look\n\nForwarded: x", (PICTURE,))
    assert worker.woken == [60.0, 0.0]


def test_an_event_with_less_takes_nothing_away(inbox: ThreadInbox) -> None:
    full = replace(message("look"), text="look at this", files=(PICTURE,))
    tell(inbox, full, MENTION)
    (turn,) = turns_of(inbox)
    assert turn.message.files == (PICTURE,)
    assert turn.message.text == "look at this"


def test_files_that_come_after_the_start_are_a_turn_of_their_own_once(inbox: ThreadInbox) -> None:
    late = replace(message("look"), files=(PICTURE, NOTES))
    tell(inbox, replace(message("look"), files=(PICTURE,)), late, late)
    first, second = turns_of(inbox)
    assert (first.message.files, second.message.files) == ((PICTURE,), (NOTES,))


def test_a_message_that_is_sent_again_changes_nothing(inbox: ThreadInbox, worker: Notes) -> None:
    tell(inbox, message("look"), message("look"))
    assert len(turns_of(inbox)) == 1
    assert worker.woken == []


# ---------------------------------------------------------------- several messages of one act


def test_messages_of_one_act_are_one_turn_that_starts_when_the_last_one_has_come(
    inbox: ThreadInbox, worker: Notes
) -> None:
    comment, forward = (replace(message(text), author="ann", join=Join(60.0)) for text in ("what is this?", "a story"))
    comment, forward = replace(comment, debounce_seconds=40.0), replace(forward, debounce_seconds=50.0)
    tell(inbox, comment, comment, forward, forward, comment)
    (turn,) = turns_of(inbox)
    assert turn.message.text == "what is this?\na story"
    assert [each for each in worker.woken if each] == [40.0, 50.0]
    assert worker.submitted == []


def test_what_can_only_be_a_part_is_taken_in_however_full_the_queue_is(inbox: ThreadInbox, worker: Notes) -> None:
    long = replace(message("x" * 9), author="ann", debounce_seconds=40.0)
    tell(inbox, long, *(message(f"{number}", channel=f"{number}") for number in range(9)))
    rest = replace(message("rest"), author="ann", join=Join(60.0, 9, required=True))
    tell(inbox, rest, replace(rest, message_id="again", author="bob"))
    (turn,) = turns_of(inbox)
    assert turn.message.text == f"{'x' * 9}\nrest"
    assert worker.woken == [40.0, 0.0]


@pytest.mark.parametrize(("as_part", "cancelled"), [(True, 1), (False, 0)])
def test_a_deletion_of_either_part_cancels_the_turn_if_it_says_so(
    inbox: ThreadInbox, worker: Notes, *, as_part: bool, cancelled: int
) -> None:
    comment, forward = (
        replace(message(text), author="ann", join=Join(60.0), debounce_seconds=40.0) for text in ("look", "a story")
    )
    tell(inbox, comment, forward)
    inbox.accept_all(ParsedUpdate(events=(MessageDeleted("web", forward.message_id, as_part=as_part),)))
    (turn,) = turns_of(inbox)
    assert worker.interrupted == [turn.id] * cancelled
    inbox.accept_all(ParsedUpdate(events=(MessageDeleted("web", comment.message_id, as_part=as_part),)))
    assert worker.interrupted == [turn.id]


# ---------------------------------------------------------------- changes that come before their message


def test_a_message_whose_deletion_came_before_it_is_not_answered(inbox: ThreadInbox, worker: Notes) -> None:
    inbox.accept_all(ParsedUpdate(events=(MessageDeleted("web", message("one").message_id),)))
    tell(inbox, message("one"), message("two"))
    assert [turn.message.text for turn in turns_of(inbox)] == ["two"]
    assert [claim.turn.message.text for claim in worker.submitted] == ["two"]


def test_a_message_whose_edit_came_before_it_is_asked_as_it_is_now(inbox: ThreadInbox, worker: Notes) -> None:
    for text in ("one at first", "one at last"):
        inbox.accept_all(ParsedUpdate(events=(MessageEdited("web", message("one").message_id, text),)))
    tell(inbox, message("one"))
    assert [claim.turn.message.text for claim in worker.submitted] == ["one at last"]


def test_an_edit_that_calls_the_bot_is_newer_than_the_edits_before_it(inbox: ThreadInbox, worker: Notes) -> None:
    inbox.accept_all(ParsedUpdate(events=(MessageEdited("web", "m", "hello"),)))
    called = replace(message("hello, bot"), message_id="m")
    inbox.accept_all(ParsedUpdate((called,), (MessageEdited("web", "m", called.text),)))
    assert [claim.turn.message.text for claim in worker.submitted] == ["hello, bot"]


async def test_a_deletion_while_its_message_is_recorded_cancels_the_turn(
    async_inbox: StoreInbox, worker: Notes
) -> None:
    deletion = MessageDeleted("web", message("one").message_id)
    said, gone = ParsedUpdate((message("one"),)), ParsedUpdate(events=(deletion,))
    await asyncio.gather(async_inbox.accept_all(said), async_inbox.accept_all(gone))
    assert worker.interrupted == [claim.turn.id for claim in worker.submitted]


async def test_an_edit_while_its_message_is_recorded_changes_the_turn(async_inbox: StoreInbox, worker: Notes) -> None:
    worker.capacity = 0
    edit = MessageEdited("web", message("one").message_id, "one at last")
    said, changed = ParsedUpdate((message("one"),)), ParsedUpdate(events=(edit,))
    await asyncio.gather(async_inbox.accept_all(said), async_inbox.accept_all(changed))
    assert (await async_inbox.accept(message("one"))).turn.message.text == "one at last"


async def test_a_file_of_a_reply_is_read_from_the_backend(async_inbox: StoreInbox, assistant: FakeAssistant) -> None:
    assistant.files["f"] = b"content"
    turn = (await async_inbox.accept(message("draw"))).turn
    async with async_inbox.read_file(turn, File("a.txt", "f")) as content:
        assert b"".join([piece async for piece in content.pieces()]) == b"content"
    with pytest.raises(AssistantRefused):
        async with async_inbox.read_file(turn, File("b.txt", "gone")):
            pass
