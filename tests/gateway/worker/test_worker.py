"""The engine: order, leases, interruption, hand-back. Against a real store, with everything else in memory."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from gateway.domain.errors import Refused, StoreUnavailable
from gateway.domain.models import (
    Answered,
    Attachment,
    File,
    RunId,
    RunStarted,
    Shown,
    TextDelta,
    ToolCall,
    Turn,
    TurnId,
    TurnState,
)
from gateway.domain.stream_buffer import Live
from gateway.ports.platform import Outbox
from gateway.ports.store import Change
from gateway.worker.turn_processor import ATTEMPTS
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.fakes.platform import FakePlatform
from tests.gateway.worker_process import Start


def gate(assistant: FakeAssistant, *steps: object) -> Callable[[], None]:
    """The next run starts and waits; call the result to let it go on."""
    opened = threading.Event()
    assistant.script(RunStarted(RunId("run_g")), _Wait(opened), *steps)  # type: ignore[arg-type]  # steps of a script
    return opened.set


class _Wait(asyncio.Event):
    """Waits on the loop for a thread's event."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    async def wait(self) -> bool:  # type: ignore[override]
        while not self._event.is_set():  # noqa: ASYNC110  # the other side is a thread
            await asyncio.sleep(0.002)
        return True


def test_a_message_is_answered_and_delivered(start: Start) -> None:
    process = start()
    turn = process.say("hello")
    (delivered,) = process.platform.wait_for(1)
    assert (delivered.id, delivered.state, delivered.reply) == (turn, TurnState.ANSWERED, "You said: hello")
    process.stop()
    stored = process.inbox.turn(turn)
    assert stored.state is TurnState.DELIVERED
    assert stored.run_id == "run_2"
    assert (stored.usage.tokens_in, stored.usage.tokens_out) == (1, 2)


def test_turns_of_a_conversation_run_one_at_a_time_in_order_and_conversations_side_by_side(
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


def test_no_more_conversations_run_than_there_is_room_for(start: Start, assistant: FakeAssistant) -> None:
    process = start(room=3)
    assistant.think = lambda _: 0.01
    for channel in range(12):
        process.say("hi", channel=f"{channel}")
        process.say("ho", channel=f"{channel}")
    process.platform.wait_for(24)
    assert assistant.most_running <= 3
    assert all(thread.texts == ["hi", "ho"] for thread in assistant.threads.values())


def test_what_a_run_shows_reaches_the_platform_before_the_reply_does(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    go_on = gate(assistant, Answered("ab"))
    assistant.scripts[0][1:1] = [TextDelta("a"), ToolCall("1", "clock")]
    turn = process.say("hello")
    assert process.platform.wait_shown(turn)[0] == TextDelta("a")
    assert process.platform.delivered == []
    go_on()
    process.platform.wait_for(1)
    assert process.platform.shown[turn] == [TextDelta("a"), ToolCall("1", "clock")]


def test_a_preview_that_breaks_does_not_cost_the_reply(start: Start) -> None:
    process = start()

    async def broken(turn: Turn, events: object, outbox: Outbox) -> None:
        raise RuntimeError("no preview")

    process.platform.follow = broken  # type: ignore[method-assign]
    process.say("hello")
    assert process.platform.wait_for(1)[0].reply == "You said: hello"


def test_a_failure_is_delivered_as_its_sentence_and_the_next_turn_goes_on(
    start: Start, assistant: FakeAssistant
) -> None:
    process = start()
    assistant.script(Refused("internal detail", sentence="I may not say that."))
    process.say("bad")
    process.say("good")
    bad, good = process.platform.wait_for(2)
    assert bad.state is TurnState.FAILED
    assert bad.failure is not None
    assert (bad.failure.sentence, bad.failure.detail) == ("I may not say that.", "internal detail")
    assert good.reply == "You said: good"


def test_turns_begin_when_the_messages_of_a_burst_are_taken_in(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    with process.engine.arriving():
        turn = process.say("first")
        assert process.inbox.turn(turn).state is TurnState.RUNNING
        process.say("second", channel="d")
        assert assistant.calls == []
    process.platform.wait_for(2)


def test_messages_without_end_hold_up_nobody_for_long(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.worker.LONGEST_ARRIVAL", 0.02)
    process = start()
    with process.engine.arriving():
        for text in ("first", "second"):
            process.say(text)
            process.platform.wait_for(1)
        process.platform.wait_for(2)


def test_the_files_of_a_message_are_fetched_by_its_platform(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    file = File("photo.png", "ref")
    process.platform.attachments = [Attachment(file, b"pixels")]
    message = replace(process.platform.message("look"), files=(file,))
    process.inbox.accept(message)
    process.inbox.accept(process.platform.message("nothing attached", channel="d"))
    process.platform.wait_for(2)
    assert assistant.attached == [Attachment(file, b"pixels")]


def test_a_running_turn_that_is_cancelled_is_stopped_at_the_backend(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    gate(assistant)
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = process.say("hello")
    process.platform.wait_shown(turn)
    assert process.inbox.cancel(turn).state is TurnState.CANCELLED
    (delivered,) = process.platform.wait_for(1)
    assert delivered.state is TurnState.CANCELLED
    process.stop()
    assert [run for _, run in assistant.cancelled] == ["run_g"]


def test_a_queued_turn_that_is_cancelled_never_runs(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    go_on = gate(assistant, Answered("first"))
    process.say("one")
    process.inbox.cancel(process.say("two"))
    process.say("three")
    go_on()
    states = [turn.state for turn in process.platform.wait_for(3)]
    assert states == [TurnState.ANSWERED, TurnState.CANCELLED, TurnState.ANSWERED]
    assert assistant.calls.count("run") == 2


def test_a_turn_cancelled_in_another_process_is_stopped_where_it_runs(start: Start, assistant: FakeAssistant) -> None:
    runner, other = start(owner="one"), start(owner="two")
    gate(assistant)
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = runner.say("hello")
    runner.platform.wait_shown(turn)
    other.inbox.cancel(turn)
    assert runner.platform.wait_for(1)[0].state is TurnState.CANCELLED


def test_a_process_that_stood_still_does_not_bring_what_another_has_brought(
    start: Start, assistant: FakeAssistant
) -> None:
    frozen = start(owner="one")
    go_on, thaw = gate(assistant, Answered("done")), threading.Event()
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = frozen.say("hello")
    frozen.platform.wait_shown(turn)
    frozen.engine._loop.call_soon_threadsafe(thaw.wait, 20.0)
    go_on()
    heir = start(owner="two")
    heir.platform.wait_for(1)
    thaw.set()
    frozen.say("another", channel="d")
    frozen.platform.wait_for(1)
    frozen.stop()
    delivered = [turn.message.text for turn in (*frozen.platform.delivered, *heir.platform.delivered)]
    assert sorted(delivered) == ["another", "hello"]
    assert assistant.calls.count("run") == 2


def test_a_process_that_takes_over_from_itself_goes_on_where_it_is(
    start: Start, assistant: FakeAssistant, brief_url: str
) -> None:
    process = start()
    go_on = gate(assistant, Answered("done"))
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = process.say("hello")
    process.platform.wait_shown(turn)
    with closing(sqlite3.connect(brief_url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE conversations SET next_at = 1")
    wait_until(lambda: process.inbox.turn(turn).attempts > 1)
    go_on()
    assert process.platform.wait_for(1)[0].reply == "done"
    process.stop()
    assert process.inbox.turn(turn).state is TurnState.DELIVERED
    assert assistant.calls == ["open_thread", "run"]


def wait_until(met: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 20.0, threading.Event()
    while not met():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def test_a_long_run_keeps_its_lease(start: Start, assistant: FakeAssistant) -> None:
    runner, _ = start(owner="one"), start(owner="two")
    assistant.think = lambda _: 2.0
    runner.say("hello")
    runner.platform.wait_for(1)
    assert assistant.calls == ["open_thread", "run"]


def test_stop_lets_a_turn_finish_within_the_grace(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    go_on = gate(assistant, Answered("done"))
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = process.say("hello")
    process.platform.wait_shown(turn)
    threading.Timer(0.05, go_on).start()
    process.stop()
    assert process.inbox.turn(turn).state is TurnState.DELIVERED


def test_stop_hands_back_what_does_not_finish_and_another_process_resumes_it(
    start: Start, assistant: FakeAssistant
) -> None:
    first = start(owner="one")
    gate(assistant)
    assistant.scripts[0][1:1] = [TextDelta("x")]
    turn = first.say("hello")
    first.platform.wait_shown(turn)
    first.stop(grace=0.0)
    assert first.inbox.turn(turn).attempts == 0
    second = start(owner="two")
    assert second.platform.wait_for(1)[0].id == turn
    assert assistant.calls[-1] == "resume run_g"
    assert assistant.cancelled == []


def test_a_draining_process_takes_on_nothing_and_loses_nothing(start: Start) -> None:
    first = start(owner="one")
    first.engine.drain()
    turn = first.say("hello")
    assert not first.platform.delivered
    second = start(owner="two")
    assert second.platform.wait_for(1)[0].id == turn


def test_a_turn_that_kills_every_process_is_given_up_and_the_next_one_goes_on(start: Start, brief_url: str) -> None:
    doomed = SqlStore(brief_url, lease_seconds=0.0)
    doomed.record(FakePlatform().message("poison"), TurnId("turn_poison"))
    for n in range(ATTEMPTS):
        assert len(doomed.claim(f"victim {n}", ["fake"], 1)) == 1
    doomed.close()
    process = start()
    process.say("next")
    given_up, following = process.platform.wait_for(2)
    assert given_up.failure is not None
    assert given_up.failure.code == "gave_up"
    assert following.reply == "You said: next"


def test_a_database_that_comes_back_finds_the_turn_unharmed(
    brief_store: SqlStore, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.coordination.async_store.FIRST_PAUSE", 0.001)
    process = start()
    process.say("hello")
    process.platform.wait_for(1)
    write, failures = brief_store.write, iter([True, False, True, True, False])

    def flaky(changes: list[Change]) -> object:
        if next(failures, False):
            raise StoreUnavailable("away")
        return write(changes)

    monkeypatch.setattr(brief_store, "write", flaky)
    process.say("again")
    assert process.platform.wait_for(2)[1].reply == "You said: again"


async def test_text_that_nobody_has_fetched_is_merged() -> None:
    live = Live()
    events: list[Shown] = [TextDelta("a"), TextDelta("b"), ToolCall("1", "t"), TextDelta("c"), TextDelta("d")]
    for event in events:
        live.put(event)
    live.close()
    assert [event async for event in live] == [TextDelta("ab"), ToolCall("1", "t"), TextDelta("cd")]
