"""A turn goes in, its reply comes out: threads opened and reopened, runs resumed, errors waited out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.coordination.async_store import Journal
from gateway.domain.errors import AssistantError, RateLimited, Refused, ThreadBusy, ThreadLost, TimedOut, Unavailable
from gateway.domain.models import (
    Answered,
    Claim,
    ConversationKey,
    Exchange,
    File,
    Kind,
    Message,
    RunId,
    RunStarted,
    Shown,
    TextDelta,
    ThreadId,
    TurnId,
)
from gateway.observability.metrics import Metrics
from gateway.ports.store import Bound, Finished, Released, Settled
from gateway.worker.assistant_runner import BEGUN_ANEW, NOTHING_TO_STOP, STOPPED, Attempt, Conversations, Preview
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant

KEY = ConversationKey("fake", channel="c")
BUSY: tuple[AssistantError, ...] = (RateLimited(retry_after=0.0), ThreadBusy(retry_after=0.0))


class Room:
    """A store, a fake assistant and the conversations between them."""

    def __init__(self, store: SqlStore, executor: ThreadPoolExecutor) -> None:
        self.store = store
        self.assistant = FakeAssistant()
        self.journal = Journal(store, executor)
        self.conversations = Conversations(
            self.journal, self.assistant, Metrics(), timeout=20.0, retries=3, pause=0.001
        )
        self.shown: list[Shown] = []
        self._said = 0

    def say(self, text: str, kind: Kind = Kind.ASK, files: tuple[File, ...] = ()) -> Claim:
        self._said += 1
        message = Message(KEY, str(self._said), text, kind=kind, files=files)
        recorded = self.store.record(message, TurnId(f"turn_{self._said}"), owner="me")
        assert recorded.claim is not None
        return recorded.claim

    def attempt(self, claim: Claim) -> Attempt:
        return self.conversations.attempt(claim, self.shown.append)

    async def answer(self, claim: Claim) -> str:
        return (await self.conversations.answer(self.attempt(claim))).text

    async def finish(self, claim: Claim) -> str:
        """Answer a turn and put it away, as the engine does."""
        reply = await self.answer(claim)
        await self.journal.write(Settled(claim.lease, claim.turn.id, reply))
        await self.journal.write(Finished(claim.lease, claim.turn.id))
        return reply

    def again(self, claim: Claim) -> Claim:
        """The claim that another process gets after this one died."""
        self.store.write([Released(claim.lease)])
        (taken,) = self.store.claim("other", ["fake"], 1)
        return taken

    @property
    def texts(self) -> list[list[str]]:
        """What each thread has seen."""
        return [thread.texts for thread in self.assistant.threads.values()]


@pytest.fixture
async def room(sqlite_store: SqlStore) -> AsyncIterator[Room]:
    with ThreadPoolExecutor(2) as executor:
        yield Room(sqlite_store, executor)


async def test_the_first_turn_opens_a_thread_and_later_ones_stay_in_it(room: Room) -> None:
    assert await room.finish(room.say("one")) == "You said: one"
    assert await room.finish(room.say("two")) == "You said: two"
    assert room.texts == [["one", "two"]]
    assert room.assistant.calls == ["open_thread", "run", "run"]
    conversation = room.store.conversation(KEY)
    assert conversation is not None
    assert (conversation.thread, conversation.backend) == (ThreadId("fake_1"), "fake")


async def test_the_thread_and_the_run_id_are_stored_before_the_run_is_waited_for(room: Room) -> None:
    claim = room.say("one")
    seen: list[RunId | None] = []

    def look() -> None:
        turn = room.store.turn(claim.turn.id)
        seen.append(turn.run_id if turn else None)

    room.assistant.script(RunStarted(RunId("run_7")), look, Answered("done"))
    assert await room.answer(claim) == "done"
    assert seen == ["run_7"]


async def test_what_the_run_shows_is_passed_on(room: Room) -> None:
    room.assistant.script(RunStarted(RunId("r")), TextDelta("a"), TextDelta("b"), Answered("ab"))
    await room.answer(room.say("one"))
    assert room.shown == [TextDelta("a"), TextDelta("b")]


async def test_a_turn_that_another_process_began_is_resumed_by_its_run_id(room: Room) -> None:
    claim = room.say("one")
    waiting = asyncio.Event()
    room.assistant.script(RunStarted(RunId("run_7")), waiting.set, asyncio.Event())
    task = asyncio.create_task(room.answer(claim))
    await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    await room.answer(room.again(claim))
    assert room.assistant.calls[-1] == "resume run_7"


async def test_a_turn_that_may_have_been_posted_is_never_posted_blindly(room: Room) -> None:
    claim = room.say("one")
    thread = await room.assistant.open_thread(())
    room.store.write([Bound(claim.lease, thread, "fake")])
    await room.answer(room.again(claim))
    assert room.assistant.calls == ["open_thread", "resume"]


async def test_a_turn_that_never_had_a_thread_cannot_have_been_posted(room: Room) -> None:
    await room.answer(room.again(room.say("one")))
    assert room.assistant.calls == ["open_thread", "run"]


@pytest.mark.parametrize("error", BUSY, ids=lambda error: error.code)
async def test_a_refusal_before_anything_began_is_waited_out_and_posted_again(
    room: Room, error: AssistantError
) -> None:
    room.assistant.script(error)
    assert await room.answer(room.say("one")) == "You said: one"
    assert room.assistant.calls == ["open_thread", "run", "run"]


async def test_a_limit_that_hits_after_the_run_began_makes_us_look_before_posting(room: Room) -> None:
    room.assistant.script(RunStarted(RunId("run_7")), RateLimited(retry_after=0.0))
    await room.answer(room.say("one"))
    assert room.assistant.calls == ["open_thread", "run", "resume"]


async def test_a_broken_run_is_resumed(room: Room) -> None:
    room.assistant.script(RunStarted(RunId("run_7")), Unavailable())
    await room.answer(room.say("one"))
    assert room.assistant.calls == ["open_thread", "run", "resume run_7"]


async def test_a_run_that_ends_without_an_answer_is_resumed(room: Room) -> None:
    room.assistant.script(RunStarted(RunId("run_7")), TextDelta("half"))
    assert await room.answer(room.say("one")) == "You said: one"
    assert room.assistant.calls == ["open_thread", "run", "resume run_7"]


async def test_an_assistant_that_stays_away_is_given_up_after_the_retries(room: Room) -> None:
    for _ in range(9):
        room.assistant.script(Unavailable("away"))
    with pytest.raises(Unavailable, match="away"):
        await room.answer(room.say("one"))
    assert room.assistant.calls.count("resume") == 3


async def test_a_wait_longer_than_the_turn_may_take_is_not_begun(room: Room) -> None:
    room.assistant.script(RateLimited(retry_after=3600.0))
    with pytest.raises(RateLimited) as caught:
        await room.answer(room.say("one"))
    assert caught.value.retry_after == 3600.0


async def test_a_refusal_is_final(room: Room) -> None:
    room.assistant.script(Refused("no"))
    with pytest.raises(Refused, match="no"):
        await room.answer(room.say("one"))
    assert room.assistant.calls == ["open_thread", "run"]


async def test_an_empty_answer_is_not_a_reply(room: Room) -> None:
    room.assistant.script(Answered(" \n"))
    with pytest.raises(Refused, match="empty"):
        await room.answer(room.say("one"))


async def test_a_lost_thread_is_opened_anew_from_our_own_transcript(room: Room) -> None:
    await room.finish(room.say("one"))
    room.assistant.threads.clear()
    assert await room.finish(room.say("two")) == "You said: two"
    assert room.assistant.threads[ThreadId("fake_3")].remembers == [Exchange("one", "You said: one")]
    assert room.texts == [["two"]]


async def test_a_backend_that_loses_every_thread_is_given_up(room: Room) -> None:
    for _ in range(9):
        room.assistant.script(ThreadLost())
    with pytest.raises(Refused, match="loses every thread"):
        await room.answer(room.say("one"))


async def test_a_thread_of_another_backend_is_left_alone_and_a_new_one_remembers_it(room: Room) -> None:
    await room.finish(room.say("one"))
    room.assistant.name = "other"
    await room.finish(room.say("two"))
    conversation = room.store.conversation(KEY)
    assert conversation is not None
    assert conversation.backend == "other"
    assert room.assistant.threads[ThreadId("other_3")].remembers == [Exchange("one", "You said: one")]


async def test_a_turn_that_was_begun_at_another_backend_is_begun_anew(room: Room) -> None:
    claim = room.say("one")
    room.store.write([Bound(claim.lease, ThreadId("conv_1"), "elsewhere")])
    await room.answer(room.again(claim))
    assert room.assistant.calls == ["open_thread", "run"]


async def test_a_turn_that_takes_too_long_is_stopped_at_the_backend(room: Room) -> None:
    room.conversations = Conversations(room.journal, room.assistant, Metrics(), timeout=0.05)
    room.assistant.script(RunStarted(RunId("run_7")), asyncio.Event())
    with pytest.raises(TimedOut):
        await room.answer(room.say("one"))
    assert room.assistant.cancelled == [(ThreadId("fake_1"), RunId("run_7"))]


async def test_after_a_reset_a_new_thread_remembers_nothing_of_before(room: Room) -> None:
    await room.finish(room.say("one"))
    assert await room.finish(room.say("reset", Kind.RESET)) == BEGUN_ANEW
    await room.finish(room.say("two"))
    await room.finish(room.say("three"))
    assert room.texts == [["one"], ["two", "three"]]
    assert [thread.remembers for thread in room.assistant.threads.values()] == [[], []]
    room.assistant.threads.clear()
    await room.finish(room.say("four"))
    (reopened,) = room.assistant.threads.values()
    assert [exchange.text for exchange in reopened.remembers] == ["two", "three"]


async def test_a_reset_that_broke_off_is_made_again_without_harm(room: Room) -> None:
    await room.finish(room.say("one"))
    claim = room.say("reset", Kind.RESET)
    await room.answer(claim)
    assert await room.answer(room.again(claim)) == BEGUN_ANEW
    assert room.assistant.calls == ["open_thread", "run"]


async def test_a_stop_tells_whether_it_stopped_anything(room: Room) -> None:
    running = room.say("one")
    stop = Message(KEY, "stop", "stop", kind=Kind.STOP)
    room.store.record(stop, TurnId("turn_stop"))
    following = await room.journal.write(Finished(running.lease, running.turn.id))
    assert isinstance(following, Claim)
    assert await room.finish(following) == STOPPED
    assert await room.finish(room.say("stop", Kind.STOP)) == NOTHING_TO_STOP
    assert room.assistant.calls == []


async def test_what_is_attached_is_remembered_by_name(room: Room) -> None:
    await room.finish(room.say("look", files=(File("a.png", "1"), File("b.pdf", "2"))))
    room.assistant.threads.clear()
    await room.finish(room.say("and?"))
    (reopened,) = room.assistant.threads.values()
    assert reopened.remembers[0].text == "look\n[attached: a.png]\n[attached: b.pdf]"


async def test_an_answer_may_be_files_alone(room: Room) -> None:
    room.assistant.script(Answered("", files=(File("plot.png", "ref"),)))
    assert (await room.conversations.answer(room.attempt(room.say("draw")))).files == (File("plot.png", "ref"),)


async def test_history_leaves_out_what_was_never_answered(room: Room) -> None:
    failed = room.say("bad")
    room.store.write([Settled(failed.lease, failed.turn.id), Finished(failed.lease, failed.turn.id)])
    await room.finish(room.say("good"))
    (thread,) = room.assistant.threads.values()
    assert thread.remembers == []


def preview(*passes: list[str]) -> str:
    shown: list[Shown] = []
    told = Preview(shown.append)
    for index, parts in enumerate(passes):
        if index:
            told.restart()
        for part in parts:
            told.tell(TextDelta(part))
    return "".join(event.text for event in shown if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("passes", "shown"),
    [
        ([["Hel", "lo"]], "Hello"),
        ([["Hel"], ["Hello", " you"]], "Hello you"),
        ([["Hel"], ["H"], ["He", "llo"]], "Hello"),
        ([["Hello"], ["Good", "bye"]], "Hello"),
        ([["Hel"], [], ["Hello"]], "Hello"),
    ],
)
def test_a_repeated_pass_shows_only_what_is_new(passes: list[list[str]], shown: str) -> None:
    assert preview(*passes) == shown
