"""Tests of AssistantRunner: creating threads, resuming runs, retrying errors, resets and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.configuration import CurrentConfiguration
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.domain.approvals import HeldCall
from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.errors import (
    AnswerLost,
    AssistantError,
    AssistantRateLimited,
    AssistantRefused,
    AssistantTimedOut,
    AssistantUnavailable,
    ThreadBusy,
    ThreadMissing,
    TooManyRounds,
)
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, MessageKind, RunId, ThreadId, TurnId, Usage
from gateway.domain.run_events import (
    CallsHeld,
    PreviewEvent,
    RunCompleted,
    RunStarted,
    TextDelta,
    ToolCall,
    UsageCounted,
)
from gateway.observability.metrics import Metrics
from gateway.policy.prices import Price, Prices
from gateway.policy.routes import AssistantRouter
from gateway.policy.turn_limit import TurnCostLimit
from gateway.ports.leased_writes import FinishTurn, RecordOutcome, ReleaseLease, SetThread
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.answering.commands import NOTHING_TO_STOP_REPLY, RESET_REPLY, STOPPED_REPLY, Commands
from gateway.worker.answering.preview_deduplicator import PreviewDeduplicator
from gateway.worker.answering.run_attempt import RunAttempt
from gateway.worker.answering.turn_limits import TurnLimits
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_one
from tests.fakes.assistant import AssistantStep, FakeAssistant
from tests.gateway.one_assistant import configuration

KEY = ConversationKey("fake", channel="c")
MAX_REPLY_CHARS = 1000
BUSY: tuple[AssistantError, ...] = (AssistantRateLimited(retry_after=0.0), ThreadBusy(retry_after=0.0))


class Room:
    """A store, a fake assistant, and a runner on both."""

    def __init__(self, store: SqlStore, executor: ThreadPoolExecutor) -> None:
        self.store = store
        self.assistant = FakeAssistant()
        self.journal = AsyncStore(store, executor)
        self.conversations = AssistantRunner(
            self.journal,
            self.assistant,
            Metrics(),
            max_retries=3,
            retry_delay=0.001,
            limits=TurnLimits(MAX_REPLY_CHARS, seconds=20.0),
        )
        self.shown: list[PreviewEvent] = []
        self._said = 0

    def say(self, text: str, kind: MessageKind = MessageKind.PROMPT, files: tuple[File, ...] = ()) -> Claim:
        self._said += 1
        message = Message(KEY, str(self._said), text, kind=kind, files=files)
        recorded = enqueue_one(self.store, message, TurnId(f"turn_{self._said}"), owner="me")
        assert recorded.claim is not None
        return recorded.claim

    def lease_guard(self, claim: Claim) -> LeaseGuard:
        return LeaseGuard(self.journal, claim, lease_seconds=60.0, requested_at=lease_clock())

    def attempt(self, claim: Claim) -> RunAttempt:
        return self.conversations.attempt(self.lease_guard(claim), self.shown.append)

    async def answer(self, claim: Claim) -> str:
        if claim.turn.message.kind is not MessageKind.PROMPT:
            commands = Commands(self.journal, AssistantRouter(CurrentConfiguration(configuration())))
            return (await commands.reply(self.lease_guard(claim))).text
        return (await self.conversations.run_turn(self.attempt(claim))).text

    async def finish(self, claim: Claim) -> str:
        """Runs a turn and finishes it, as the worker does; returns the reply."""
        reply = await self.answer(claim)
        await self.journal.write(RecordOutcome(claim.lease, claim.turn, reply))
        await self.journal.write(FinishTurn(claim.lease, claim.turn))
        return reply

    def again(self, claim: Claim) -> Claim:
        """Releases a claim and returns the one that another process gets on the same turn."""
        self.store.apply_writes([ReleaseLease(claim.lease)])
        (taken,) = self.store.claim("other", ["fake"], 1)
        return taken

    @property
    def texts(self) -> list[list[str]]:
        """The messages posted to each thread."""
        return [thread.texts for thread in self.assistant.threads.values()]


@pytest.fixture
async def harness(sqlite_store: SqlStore) -> AsyncIterator[Room]:
    with ThreadPoolExecutor(2) as executor:
        yield Room(sqlite_store, executor)


async def test_a_loop_of_tools_ends_at_a_cost(harness: Room) -> None:
    limit = TurnCostLimit(Prices({"fake-1": Price(Decimal(1), Decimal(1))}), most=100)
    harness.conversations = AssistantRunner(
        harness.journal, harness.assistant, Metrics(), limits=TurnLimits(cost=limit)
    )
    rounds: list[AssistantStep] = [RunStarted(RunId("run_1"))]
    for number in range(1, 4):
        rounds.append(UsageCounted(RunId(f"run_{number}"), Usage(40, 10), "fake-1"))
        rounds.append(ToolCall(f"call_{number}", "add"))
    harness.assistant.scripts.append([*rounds, RunCompleted("Three.")])
    with pytest.raises(TooManyRounds):
        await harness.answer(harness.say("1 + 2?"))
    assert [event.call_id for event in harness.shown if isinstance(event, ToolCall)] == ["call_1"]
    assert harness.assistant.cancelled == [("fake_1", "run_1")]


@pytest.mark.parametrize(
    "called", [ToolCall("call_1", "add"), CallsHeld((HeldCall(RequestedCall("call_1", "add", "{}"), ("asker",)),))]
)
async def test_what_a_turn_cost_before_it_waited_counts_for_its_cost(
    harness: Room, called: ToolCall | CallsHeld
) -> None:
    limit = TurnCostLimit(Prices({"fake-1": Price(Decimal(1), Decimal(1))}), most=100)
    harness.conversations = AssistantRunner(
        harness.journal, harness.assistant, Metrics(), limits=TurnLimits(cost=limit)
    )
    claim = harness.say("1 + 2?")
    claim = replace(claim, turn=replace(claim.turn, cost=50))
    harness.assistant.script(UsageCounted(RunId("run_1"), Usage(40, 10), "fake-1"), called)
    with pytest.raises(TooManyRounds):
        await harness.answer(claim)


async def test_the_first_turn_creates_a_thread_and_later_turns_use_it(harness: Room) -> None:
    assert await harness.finish(harness.say("one")) == "You said: one"
    assert await harness.finish(harness.say("two")) == "You said: two"
    assert harness.texts == [["one", "two"]]
    assert harness.assistant.calls == ["open_thread", "run", "run"]
    conversation = harness.store.find_conversation(KEY)
    assert conversation is not None
    assert (conversation.thread_id, conversation.backend) == (ThreadId("fake_1"), "fake")


async def test_the_run_id_is_stored_before_the_run_is_waited_for(harness: Room) -> None:
    claim = harness.say("one")
    seen: list[RunId | None] = []

    def look() -> None:
        turn = harness.store.get_turn(claim.turn.id)
        seen.append(turn.run_id if turn else None)

    harness.assistant.script(RunStarted(RunId("run_7")), look, RunCompleted("done"))
    assert await harness.answer(claim) == "done"
    assert seen == ["run_7"]


async def test_preview_events_are_forwarded(harness: Room) -> None:
    harness.assistant.script(RunStarted(RunId("r")), TextDelta("a"), TextDelta("b"), RunCompleted("ab"))
    await harness.answer(harness.say("one"))
    assert harness.shown == [TextDelta("a"), TextDelta("b")]


async def test_a_turn_that_another_process_started_is_resumed_by_its_run_id(harness: Room) -> None:
    claim = harness.say("one")
    waiting = asyncio.Event()
    harness.assistant.script(RunStarted(RunId("run_7")), waiting.set, asyncio.Event())
    task = asyncio.create_task(harness.answer(claim))
    await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    await harness.answer(harness.again(claim))
    assert harness.assistant.calls[-1] == "resume run_7"


async def test_a_turn_that_may_have_been_posted_is_resumed_not_posted_again(harness: Room) -> None:
    claim = harness.say("one")
    thread = await harness.assistant.create_thread(())
    harness.store.apply_writes([SetThread(claim.lease, thread, "fake")])
    await harness.answer(harness.again(claim))
    assert harness.assistant.calls == ["open_thread", "resume"]


async def test_a_turn_without_a_thread_is_posted_on_the_second_attempt(harness: Room) -> None:
    await harness.answer(harness.again(harness.say("one")))
    assert harness.assistant.calls == ["open_thread", "run"]


@pytest.mark.parametrize("error", BUSY, ids=lambda error: error.code)
async def test_a_rejected_run_is_posted_again_after_the_wait(harness: Room, error: AssistantError) -> None:
    harness.assistant.script(error)
    assert await harness.answer(harness.say("one")) == "You said: one"
    assert harness.assistant.calls == ["open_thread", "run", "run"]


async def test_a_run_rate_limited_after_its_start_is_resumed_without_its_run_id(harness: Room) -> None:
    harness.assistant.script(RunStarted(RunId("run_7")), AssistantRateLimited(retry_after=0.0))
    await harness.answer(harness.say("one"))
    assert harness.assistant.calls == ["open_thread", "run", "resume"]


async def test_an_interrupted_run_is_resumed(harness: Room) -> None:
    harness.assistant.script(RunStarted(RunId("run_7")), AssistantUnavailable())
    await harness.answer(harness.say("one"))
    assert harness.assistant.calls == ["open_thread", "run", "resume run_7"]


async def test_a_run_that_ends_without_an_answer_is_resumed(harness: Room) -> None:
    harness.assistant.script(RunStarted(RunId("run_7")), TextDelta("half"))
    assert await harness.answer(harness.say("one")) == "You said: one"
    assert harness.assistant.calls == ["open_thread", "run", "resume run_7"]


async def test_an_unavailable_assistant_fails_the_turn_after_the_retries(harness: Room) -> None:
    for _ in range(9):
        harness.assistant.script(AssistantUnavailable("away"))
    with pytest.raises(AssistantUnavailable, match="away"):
        await harness.answer(harness.say("one"))
    assert harness.assistant.calls.count("resume") == 3


async def test_a_retry_beyond_the_time_limit_fails_at_once(harness: Room) -> None:
    harness.assistant.script(AssistantRateLimited(retry_after=3600.0))
    with pytest.raises(AssistantRateLimited) as caught:
        await harness.answer(harness.say("one"))
    assert caught.value.retry_after == 3600.0


async def test_a_refused_run_is_not_retried(harness: Room) -> None:
    harness.assistant.script(AssistantRefused("no"))
    with pytest.raises(AssistantRefused, match="no"):
        await harness.answer(harness.say("one"))
    assert harness.assistant.calls == ["open_thread", "run"]


async def test_an_empty_reply_is_refused(harness: Room) -> None:
    harness.assistant.script(RunCompleted(" \n"))
    with pytest.raises(AssistantRefused, match="empty"):
        await harness.answer(harness.say("one"))


async def test_a_missing_thread_is_recreated_from_the_stored_transcript(harness: Room) -> None:
    await harness.finish(harness.say("one"))
    harness.assistant.threads.clear()
    assert await harness.finish(harness.say("two")) == "You said: two"
    assert harness.assistant.threads[ThreadId("fake_3")].history == [Exchange("one", "You said: one")]
    assert harness.texts == [["two"]]


async def test_a_turn_fails_when_every_thread_is_missing(harness: Room) -> None:
    for _ in range(9):
        harness.assistant.script(ThreadMissing())
    with pytest.raises(AssistantRefused, match="does not keep the threads"):
        await harness.answer(harness.say("one"))


async def test_after_a_change_of_backend_a_new_thread_gets_the_history(harness: Room) -> None:
    await harness.finish(harness.say("one"))
    harness.assistant.name = "other"
    await harness.finish(harness.say("two"))
    conversation = harness.store.find_conversation(KEY)
    assert conversation is not None
    assert conversation.backend == "other"
    assert harness.assistant.threads[ThreadId("other_3")].history == [Exchange("one", "You said: one")]


async def test_a_turn_started_at_another_backend_is_started_again(harness: Room) -> None:
    claim = harness.say("one")
    harness.store.apply_writes([SetThread(claim.lease, ThreadId("conv_1"), "elsewhere")])
    await harness.answer(harness.again(claim))
    assert harness.assistant.calls == ["open_thread", "run"]


async def test_a_turn_that_times_out_is_cancelled_at_the_backend(harness: Room) -> None:
    harness.conversations = AssistantRunner(
        harness.journal, harness.assistant, Metrics(), limits=TurnLimits(seconds=0.5)
    )
    harness.assistant.script(RunStarted(RunId("run_7")), asyncio.Event())
    with pytest.raises(AssistantTimedOut):
        await harness.answer(harness.say("one"))
    assert harness.assistant.cancelled == [(ThreadId("fake_1"), RunId("run_7"))]


async def test_after_a_reset_a_new_thread_gets_no_earlier_history(harness: Room) -> None:
    await harness.finish(harness.say("one"))
    assert await harness.finish(harness.say("reset", MessageKind.RESET)) == RESET_REPLY
    await harness.finish(harness.say("two"))
    await harness.finish(harness.say("three"))
    assert harness.texts == [["one"], ["two", "three"]]
    assert [thread.history for thread in harness.assistant.threads.values()] == [[], []]
    harness.assistant.threads.clear()
    await harness.finish(harness.say("four"))
    (reopened,) = harness.assistant.threads.values()
    assert [exchange.text for exchange in reopened.history] == ["two", "three"]


async def test_an_interrupted_reset_can_be_repeated(harness: Room) -> None:
    await harness.finish(harness.say("one"))
    claim = harness.say("reset", MessageKind.RESET)
    await harness.answer(claim)
    assert await harness.answer(harness.again(claim)) == RESET_REPLY
    assert harness.assistant.calls == ["open_thread", "run"]


async def test_the_reply_to_a_stop_tells_whether_it_stopped_anything(harness: Room) -> None:
    running = harness.say("one")
    stop = Message(KEY, "stop", "stop", kind=MessageKind.STOP)
    enqueue_one(harness.store, stop, TurnId("turn_stop"))
    following = await harness.journal.write(FinishTurn(running.lease, running.turn))
    assert isinstance(following, Claim)
    assert await harness.finish(following) == STOPPED_REPLY
    assert await harness.finish(harness.say("stop", MessageKind.STOP)) == NOTHING_TO_STOP_REPLY
    assert harness.assistant.calls == []


async def test_the_reply_to_a_stop_of_the_channel_tells_whether_it_stopped_anything(harness: Room) -> None:
    harness.say("one")
    for topic, reply in (("a", STOPPED_REPLY), ("b", NOTHING_TO_STOP_REPLY)):
        stop = Message(replace(KEY, topic=topic), topic, "stop", kind=MessageKind.STOP, stops_channel=True)
        recorded = enqueue_one(harness.store, stop, TurnId(topic), owner="one")
        assert recorded.claim is not None
        assert await harness.finish(recorded.claim) == reply


async def test_history_contains_the_names_of_attachments(harness: Room) -> None:
    await harness.finish(harness.say("look", files=(File("a.png", "1"), File("b.pdf", "2"))))
    harness.assistant.threads.clear()
    await harness.finish(harness.say("and?"))
    (reopened,) = harness.assistant.threads.values()
    assert reopened.history[0].text == "look\n[attached: a.png]\n[attached: b.pdf]"


async def test_a_reply_may_consist_of_files_alone(harness: Room) -> None:
    harness.assistant.script(RunCompleted("", files=(File("plot.png", "ref"),)))
    assert (await harness.conversations.run_turn(harness.attempt(harness.say("draw")))).files == (
        File("plot.png", "ref"),
    )


async def test_history_omits_turns_without_a_reply(harness: Room) -> None:
    failed = harness.say("bad")
    harness.store.apply_writes([RecordOutcome(failed.lease, failed.turn), FinishTurn(failed.lease, failed.turn)])
    await harness.finish(harness.say("good"))
    (thread,) = harness.assistant.threads.values()
    assert thread.history == []


def preview(*passes: list[str]) -> str:
    """Returns the text shown when a reply is streamed once per pass, each time from its start."""
    shown: list[PreviewEvent] = []
    deduplicator = PreviewDeduplicator(shown.append)
    for index, parts in enumerate(passes):
        if index:
            deduplicator.restart()
        for part in parts:
            deduplicator.emit(TextDelta(part))
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
def test_a_repeated_stream_shows_only_new_text(passes: list[list[str]], shown: str) -> None:
    assert preview(*passes) == shown


async def test_an_answer_that_was_paid_for_and_lost_is_retried_twice_only(harness: Room) -> None:
    for _ in range(9):
        harness.assistant.script(RunStarted(RunId("run_7")), AnswerLost("cut"))
    with pytest.raises(AnswerLost):
        await harness.answer(harness.say("one"))
    assert harness.assistant.calls.count("resume run_7") == 2


async def test_a_cut_off_answer_is_marked_in_the_audit_log(harness: Room) -> None:
    harness.assistant.script(RunStarted(RunId("run_7")), RunCompleted("half", cut_off=True))
    claim = harness.say("one")
    assert await harness.answer(claim) == "half"
    turn = harness.store.get_turn(claim.turn.id)
    assert turn is not None
    assert AuditEvent.CUT_OFF in [entry.event for entry in turn.audit_log]


async def test_a_reply_without_an_end_is_stopped_at_its_limit_and_counted(harness: Room) -> None:
    harness.assistant.is_metered = True
    harness.assistant.usages[RunId("run_1")] = UsageCounted(RunId("run_1"), Usage(7, 900))
    harness.assistant.script(RunStarted(RunId("run_1")), *[TextDelta("x" * 300)] * 4, RunCompleted("never reached"))
    attempt = harness.attempt(harness.say("Count to a billion"))
    reply = await harness.conversations.run_turn(attempt)
    assert reply.text.startswith("x" * 1000 + "\n\n_The answer was longer than 1,000 characters")
    assert [run for _, run in harness.assistant.cancelled] == ["run_1"]
    assert (await harness.conversations.usage.of_attempt(attempt)).by_model[0].usage == Usage(7, 900)
    assert len("".join(event.text for event in harness.shown if isinstance(event, TextDelta))) <= MAX_REPLY_CHARS


async def test_a_long_reply_that_comes_at_once_is_cut(harness: Room) -> None:
    harness.assistant.script(RunStarted(RunId("run_1")), RunCompleted("x" * 1001))
    assert (await harness.answer(harness.say("Go"))).startswith("x" * 1000 + "\n\n_The answer was longer")
