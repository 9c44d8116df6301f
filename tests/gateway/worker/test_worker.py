"""Tests of the worker: order, leases, interruption, release. With a real store, everything else in memory."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from gateway.coordination.lease import lease_clock
from gateway.coordination.retry import Backoff
from gateway.domain.conversations import Claim
from gateway.domain.errors import AssistantRefused, StoreUnavailable
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import MessageKind, RunId, ThreadId, Turn, TurnId, TurnState, Usage
from gateway.domain.run_events import PreviewEvent, RunCompleted, RunStarted, TextDelta, ToolCall, UsageCounted
from gateway.domain.sentences import sentence
from gateway.domain.stream_buffer import PreviewStream
from gateway.ports.leased_writes import LeasedWrite, SetRun, SetThread
from gateway.ports.platform import DeliveryContext
from gateway.worker.answering.commands import STOPPED_REPLY
from gateway.worker.answering.run_attempt import RunAttempt
from gateway.worker.delivering.preview_task import PreviewTask
from gateway.worker.turns.turn_runner import MAX_ATTEMPTS
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_one
from tests.fakes.assistant import FakeAssistant
from tests.fakes.platform import FakePlatform
from tests.gateway.worker_process import Start, held
from tests.waiting import ThreadEvent, until


def gate(assistant: FakeAssistant, *steps: object) -> Callable[[], None]:
    """Makes the next run start and wait; returns a function that lets it continue."""
    opened = threading.Event()
    assistant.script(RunStarted(RunId("run_g")), ThreadEvent(opened), *steps)  # type: ignore[arg-type]  # steps of a script
    return opened.set


def test_a_message_is_answered_and_delivered(start: Start) -> None:
    process = start()
    turn = process.say("hello")
    (delivered,) = process.platform.wait_for(1)
    assert (delivered.id, delivered.state, delivered.reply) == (turn, TurnState.ANSWERED, "You said: hello")
    process.stop()
    stored = process.stored(turn)
    assert stored.state is TurnState.DELIVERED
    assert stored.run_id == "run_2"
    assert (stored.usage.tokens_in, stored.usage.tokens_out) == (1, 2)


def test_turns_of_a_conversation_run_in_order_and_conversations_in_parallel(
    start: Start, assistant: FakeAssistant
) -> None:
    process = start()
    assistant.think = lambda _: 0.01
    for n in range(5):
        for channel in range(10):
            process.say(f"{n}", channel=f"{channel}")
    process.platform.wait_for(50)
    assert all(thread.texts == ["0", "1", "2", "3", "4"] for thread in assistant.threads.values())
    assert len(assistant.threads) == 10
    assert 1 < assistant.most_running <= 10


def test_no_more_conversations_run_than_the_capacity_allows(start: Start, assistant: FakeAssistant) -> None:
    process = start(room=3)
    assistant.think = lambda _: 0.01
    for channel in range(12):
        process.say("hi", channel=f"{channel}")
        process.say("ho", channel=f"{channel}")
    process.platform.wait_for(24)
    assert assistant.most_running <= 3
    assert all(thread.texts == ["hi", "ho"] for thread in assistant.threads.values())


def test_preview_events_reach_the_platform_before_the_reply(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    resume = gate(assistant, RunCompleted("ab"))
    assistant.scripts[0][1:1] = [TextDelta("a"), ToolCall("1", "clock")]
    turn = process.say("hello")
    assert process.platform.wait_shown(turn)[0] == TextDelta("a")
    assert process.platform.delivered == []
    resume()
    process.platform.wait_for(1)
    assert process.platform.shown[turn] == [TextDelta("a"), ToolCall("1", "clock")]


def test_a_turn_that_ends_in_its_quiet_period_is_only_delivered(start: Start, assistant: FakeAssistant) -> None:
    process = start(quiet_seconds=60.0)
    assistant.script(TextDelta("a"), RunCompleted("ab"))
    turn = process.say("hello")
    assert [one.reply for one in process.platform.wait_for(1)] == ["ab"]
    assert turn not in process.platform.shown


def test_what_was_said_in_the_quiet_period_is_shown_after_it(start: Start, assistant: FakeAssistant) -> None:
    process = start(quiet_seconds=0.01)
    resume = gate(assistant, RunCompleted("abc"))
    assistant.scripts[0][1:1] = [TextDelta("a"), TextDelta("b")]
    turn = process.say("hello")
    assert process.platform.wait_shown(turn) == [TextDelta("ab")]
    resume()
    process.platform.wait_for(1)


def test_a_reply_is_delivered_although_its_preview_failed(start: Start) -> None:
    process = start()

    async def broken(turn: Turn, events: object, context: DeliveryContext) -> None:
        raise RuntimeError("no preview")

    process.platform.stream_preview = broken  # type: ignore[method-assign]
    process.say("hello")
    assert process.platform.wait_for(1)[0].reply == "You said: hello"


def test_a_failed_turn_is_delivered_with_its_message_and_the_next_turn_runs(
    start: Start, assistant: FakeAssistant
) -> None:
    process = start()
    assistant.script(AssistantRefused("internal detail", user_message=sentence("I may not say that.")))
    process.say("bad")
    process.say("good")
    bad, good = process.platform.wait_for(2)
    assert bad.state is TurnState.FAILED
    assert bad.failure is not None
    assert (bad.failure.user_message, bad.failure.detail) == ("I may not say that.", "internal detail")
    assert good.reply == "You said: good"


def test_turns_start_after_the_messages_of_a_burst_are_accepted(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    with held(process):
        turn = process.say("first")
        assert process.stored(turn).state is TurnState.RUNNING
        process.say("second", channel="d")
        assert assistant.calls == []
    process.platform.wait_for(2)


def test_an_endless_burst_delays_turns_for_a_limited_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.accepting.start_pace.MAX_BURST_WAIT", 0.02)
    process = start()
    with held(process):
        for text in ("first", "second"):
            process.say(text)
            process.platform.wait_for(1)
        process.platform.wait_for(2)


def test_the_files_of_a_message_are_fetched_by_its_platform(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    file = File("photo.png", "ref")
    process.platform.attachments = [Attachment(file, BytesContent(b"pixels"))]
    message = replace(process.platform.message("look"), files=(file,))
    process.inbox.accept(message)
    process.inbox.accept(process.platform.message("nothing attached", channel="d"))
    process.platform.wait_for(2)
    assert assistant.attached == [Attachment(file, BytesContent(b"pixels"))]


def test_a_running_turn_that_is_cancelled_is_stopped_at_the_backend(start: Start, assistant: FakeAssistant) -> None:
    process = start(lease_seconds=600.0)
    gate(assistant)
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = process.say("hello")
    process.platform.wait_shown(turn)
    assert process.inbox.cancel_turn(turn).state is TurnState.CANCELLED
    (delivered,) = process.platform.wait_for(1)
    assert (delivered.state, delivered.reply) == (TurnState.CANCELLED, "x")
    process.stop()
    assert [run for _, run in assistant.cancelled] == ["run_g"]


def test_a_stop_that_the_process_was_not_told_of_is_noticed_when_the_run_starts(
    start: Start, assistant: FakeAssistant
) -> None:
    process = start(lease_seconds=600.0)  # no renewal tells it
    stop = replace(process.platform.message("stop"), kind=MessageKind.STOP)

    def enqueue_elsewhere() -> None:
        enqueue_one(process.store, stop, TurnId("stop"))

    assistant.script(enqueue_elsewhere, RunStarted(RunId("run_g")), asyncio.Event())
    turn = process.say("one")
    stopped, answer = process.platform.wait_for(2)
    assert (stopped.id, stopped.state) == (turn, TurnState.CANCELLED)
    assert (answer.id, answer.reply) == ("stop", STOPPED_REPLY)
    process.stop()
    assert [run for _, run in assistant.cancelled] == ["run_g"]


def test_a_queued_turn_that_is_cancelled_never_runs(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    resume = gate(assistant, RunCompleted("first"))
    process.say("one")
    process.inbox.cancel_turn(process.say("two"))
    process.say("three")
    resume()
    states = [turn.state for turn in process.platform.wait_for(3)]
    assert states == [TurnState.ANSWERED, TurnState.CANCELLED, TurnState.ANSWERED]
    assert assistant.calls.count("run") == 2


def test_a_turn_cancelled_in_another_process_is_stopped_where_it_runs(start: Start, assistant: FakeAssistant) -> None:
    runner, other = start(owner="one"), start(owner="two")
    gate(assistant)
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = runner.say("hello")
    runner.platform.wait_shown(turn)
    other.inbox.cancel_turn(turn)
    assert runner.platform.wait_for(1)[0].state is TurnState.CANCELLED


def test_a_suspended_process_does_not_deliver_what_another_has_delivered(
    start: Start, assistant: FakeAssistant
) -> None:
    suspended = start(owner="one")
    resume, wake = gate(assistant, RunCompleted("done")), threading.Event()
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = suspended.say("hello")
    suspended.platform.wait_shown(turn)
    suspended.worker._loop.call_soon_threadsafe(wake.wait, 20.0)
    resume()
    successor = start(owner="two")
    successor.platform.wait_for(1)
    wake.set()
    suspended.say("another", channel="d")
    suspended.platform.wait_for(1)
    suspended.stop()
    delivered = [turn.message.text for turn in (*suspended.platform.delivered, *successor.platform.delivered)]
    assert sorted(delivered) == ["another", "hello"]
    assert assistant.calls.count("run") == 2


def test_a_process_that_claims_its_own_conversation_again_continues_the_run(
    start: Start, assistant: FakeAssistant, sqlite_url: str
) -> None:
    process = start(lease_seconds=30.0)  # a busy machine must not let it expire again
    resume = gate(assistant, RunCompleted("done"))
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = process.say("hello")
    process.platform.wait_shown(turn)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE conversations SET next_at = 1")
    until(lambda: process.stored(turn).attempts > 1)
    resume()
    assert process.platform.wait_for(1)[0].reply == "done"
    process.stop()
    assert process.stored(turn).state is TurnState.DELIVERED
    assert assistant.calls == ["open_thread", "run"]


def test_a_process_that_claims_a_turn_again_which_another_has_had_begins_with_what_is_stored(
    start: Start, assistant: FakeAssistant, sqlite_url: str
) -> None:
    process = start(lease_seconds=30.0)
    resume = gate(assistant, RunCompleted("too late"))
    assistant.script(RunStarted(RunId("run_h")), RunCompleted("done"))
    turn = process.say("hello")
    until(lambda: process.stored(turn).run_id is not None)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE conversations SET next_at = 1, epoch = epoch + 1")
    assert process.platform.wait_for(1)[0].reply == "done"
    resume()
    process.stop()
    assert assistant.calls == ["open_thread", "run", "resume run_g"]


def test_a_claim_whose_result_came_late_disturbs_no_later_one(start: Start, assistant: FakeAssistant) -> None:
    process = start(lease_seconds=30.0)
    resume = gate(assistant, RunCompleted("done"))
    turn = process.say("hello")
    until(lambda: process.stored(turn).run_id is not None)
    (work,) = process.worker._tasks.values()
    late = replace(work.claim, lease=replace(work.claim.lease, epoch=work.claim.lease.epoch - 1))

    async def start_late() -> None:
        process.worker.start_claim(late, lease_clock())

    process.worker.run_coroutine(start_late())
    resume()
    assert process.platform.wait_for(1)[0].reply == "done"
    assert assistant.calls == ["open_thread", "run"]


def test_a_process_that_lost_its_lease_does_not_stop_the_run_that_another_goes_on_with(
    start: Start, assistant: FakeAssistant, sqlite_url: str
) -> None:
    one, two = (start(owner=name, lease_seconds=30.0) for name in ("one", "two"))
    ended = gate(assistant, RunCompleted("too late"))
    resumed = gate(assistant, RunCompleted("done"))
    turn = one.say("hello")
    until(lambda: one.stored(turn).run_id is not None)
    conversation = one.stored(turn).conversation_id
    one.worker.drain()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE conversations SET next_at = 1")
    until(lambda: "resume run_g" in assistant.calls)
    ended()
    until(lambda: not one.worker.is_processing(conversation))
    resumed()
    assert two.platform.wait_for(1)[0].reply == "done"
    assert assistant.cancelled == []


def test_a_long_run_keeps_its_lease(start: Start, assistant: FakeAssistant) -> None:
    runner, _ = start(owner="one"), start(owner="two")
    assistant.think = lambda _: 2.0
    runner.say("hello")
    runner.platform.wait_for(1)
    assert assistant.calls == ["open_thread", "run"]


def test_a_turn_may_finish_within_the_grace_period_of_a_stop(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    resume = gate(assistant, RunCompleted("done"))
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = process.say("hello")
    process.platform.wait_shown(turn)
    threading.Timer(0.05, resume).start()
    process.stop()
    assert process.stored(turn).state is TurnState.DELIVERED


def test_a_turn_unfinished_at_a_stop_is_resumed_by_another_process(start: Start, assistant: FakeAssistant) -> None:
    first = start(owner="one")
    gate(assistant)
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = first.say("hello")
    first.platform.wait_shown(turn)
    first.stop(grace=0.0)
    assert first.stored(turn).attempts == 0
    second = start(owner="two")
    assert second.platform.wait_for(1)[0].id == turn
    assert assistant.calls[-1] == "resume run_g"
    assert assistant.cancelled == []


def test_a_draining_process_claims_nothing_and_its_messages_are_not_lost(start: Start) -> None:
    first = start(owner="one")
    first.worker.drain()
    turn = first.say("hello")
    assert not first.platform.delivered
    second = start(owner="two")
    assert second.platform.wait_for(1)[0].id == turn


def test_a_turn_that_kills_every_process_fails_is_paid_and_the_next_turn_runs(
    start: Start, assistant: FakeAssistant, sqlite_url: str
) -> None:
    doomed, thread, run = SqlStore(sqlite_url, lease_seconds=0.0), ThreadId("t"), RunId("r")
    enqueue_one(doomed, FakePlatform().message("poison"), TurnId("turn_poison"))
    for n in range(MAX_ATTEMPTS):
        (claim,) = doomed.claim(f"victim {n}", ["fake"], 1)
        doomed.apply_writes([SetThread(claim.lease, thread, "fake"), SetRun(claim.lease, claim.turn, run)])
    doomed.close()
    assistant.is_metered, assistant.usages[run] = True, UsageCounted(run, Usage(20, 3), "fake-1")
    process = start()
    process.say("next")
    given_up, following = process.platform.wait_for(2)
    assert given_up.failure is not None
    assert given_up.failure.code == "gave_up"
    assert (given_up.usage, given_up.cost) == (Usage(20, 3), 23)
    assert assistant.cancelled == [(thread, run)]
    assert following.reply == "You said: next"


def test_a_turn_that_fails_as_nobody_foresaw_is_given_up(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.worker.RETRY_DELAY_AFTER_FAULT", 0.0)

    def fail(turn: Turn) -> None:
        raise LookupError(turn.message.text)

    assistant.think = fail
    process = start()
    process.unforeseen = MAX_ATTEMPTS
    process.say("poison")
    (given_up,) = process.platform.wait_for(1)
    assert given_up.failure is not None
    assert given_up.failure.code == "gave_up"
    assert assistant.calls == ["open_thread", "run", *["resume"] * (MAX_ATTEMPTS - 1)]


def test_an_outage_while_a_turn_is_admitted_is_no_attempt_at_it(
    brief_store: SqlStore, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.worker.RETRY_DELAY_AFTER_FAULT", 0.0)
    process = start(rules={"user_turns_per_hour": "5"})
    take, outage = brief_store.take_token, iter(range(MAX_ATTEMPTS + 1))

    def flaky(*request: Any) -> float | None:
        if next(outage, None) is not None:
            raise StoreUnavailable("away")
        return take(*request)

    monkeypatch.setattr(brief_store, "take_token", flaky)
    process.say("hello")
    assert process.platform.wait_for(1)[0].reply == "You said: hello"


def test_a_turn_survives_an_outage_of_the_database(
    brief_store: SqlStore, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.coordination.async_store.BACKOFF", Backoff(0.001, 0.01))
    process = start()
    process.say("hello")
    process.platform.wait_for(1)
    write, failures = brief_store.apply_writes, iter([True, False, True, True, False])

    def flaky(changes: list[LeasedWrite]) -> object:
        if next(failures, False):
            raise StoreUnavailable("away")
        return write(changes)

    monkeypatch.setattr(brief_store, "apply_writes", flaky)
    process.say("again")
    assert process.platform.wait_for(2)[1].reply == "You said: again"


async def test_text_deltas_that_were_not_read_yet_are_merged() -> None:
    live = PreviewStream()
    events: list[PreviewEvent] = [TextDelta("a"), TextDelta("b"), ToolCall("1", "t"), TextDelta("c"), TextDelta("d")]
    for event in events:
        live.put(event)
    live.close()
    assert [event async for event in live] == [TextDelta("ab"), ToolCall("1", "t"), TextDelta("cd")]


async def test_a_quiet_period_begins_again_while_the_loop_does_not_keep_up() -> None:
    loop, shown = asyncio.get_running_loop(), list[str]()

    async def show() -> None:
        shown.append("preview")

    loop.call_soon(time.sleep, 0.035)  # the timer of the first period is late
    preview, just_after = PreviewTask(show, PreviewStream(), 0.02), loop.create_future()
    loop.call_later(0.021, just_after.set_result, None)
    await just_after
    await preview.finish()
    assert shown == []


async def test_a_preview_of_events_only_begins_with_the_first() -> None:
    live, shown = PreviewStream(), list[PreviewEvent]()

    async def show() -> None:
        shown.append(ToolCall("begun", "t"))
        shown.extend([event async for event in live])

    preview = PreviewTask(show, live, 0.0, shows_events_only=True)
    await asyncio.sleep(0)
    assert shown == []
    live.put(TextDelta("a"))
    await preview.finish()
    assert shown == [ToolCall("begun", "t"), TextDelta("a")]


async def test_a_preview_of_events_only_is_none_for_a_turn_without() -> None:
    live, begun = PreviewStream(), asyncio.Event()

    async def show() -> None:
        begun.set()

    await PreviewTask(show, live, 0.0, shows_events_only=True).finish()
    live.put(TextDelta("late"))
    await asyncio.sleep(0)
    assert not begun.is_set()


def test_a_finished_turn_is_freed_without_the_garbage_collector(start: Start) -> None:
    """Cycles of each turn's objects would make the collector stop the event loop for tens of milliseconds."""
    process = start()
    process.say("first")
    process.platform.wait_for(1)
    gc.collect()
    gc.disable()
    try:
        process.say("second")
        process.platform.wait_for(2)
        process.stop()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [each for each in gc.garbage if isinstance(each, RunAttempt | Turn | Claim)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
