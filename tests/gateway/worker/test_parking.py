"""Turns that wait for a budget or for the assistant's server hold no place, and go on by themselves."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.errors import AssistantRateLimited
from gateway.domain.models import MessageKind, TurnId, TurnState
from gateway.worker.answering import assistant_runner
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess
from tests.waiting import until

ROOM = 3
BUDGET = {"budget_user_day": "100"}


def say_as(process: WorkerProcess, author: str, channel: str, text: str = "hi") -> TurnId:
    message = process.platform.message(text, channel=channel)
    return process.inbox.accept(replace(message, author=author)).turn.id


@pytest.fixture
def held(assistant: FakeAssistant) -> asyncio.Event:
    """Makes the runs of one person last until this is set."""
    event = asyncio.Event()
    assistant.think = lambda turn: event if turn.message.author == "rich" else None
    return event


def go_on(process: WorkerProcess, held: asyncio.Event) -> None:
    process.worker._loop.call_soon_threadsafe(held.set)


def test_turns_that_wait_for_their_budget_leave_the_places_to_others(start: Start, held: asyncio.Event) -> None:
    process = start(room=ROOM, rules=BUDGET)
    turns = [say_as(process, "rich", f"r{number}") for number in range(10 * ROOM)]
    (answered,) = [say_as(process, "poor", "p")]
    assert [turn.id for turn in process.platform.wait_for(1)] == [answered]
    until(lambda: sum(depth.parked.get("budget", 0) for depth in process.store.queue_depths()) == len(turns) - 1)
    go_on(process, held)
    process.platform.wait_for(len(turns) + 1)
    assert {process.stored(turn).state for turn in turns} <= {TurnState.ANSWERED, TurnState.DELIVERED}


def test_a_parked_turn_survives_a_restart_and_is_answered_in_order(
    start: Start, held: asyncio.Event, assistant: FakeAssistant
) -> None:
    process = start(rules=BUDGET)
    running = say_as(process, "rich", "a", "first")
    until(lambda: process.stored(running).run_id is not None)
    waiting = [say_as(process, "rich", "b", text) for text in ("second", "third")]
    until(lambda: process.stored(waiting[0]).is_parked)
    process.stop(grace=0.0)
    assert process.stored(waiting[0]).is_parked
    assistant.think = lambda _: None
    heir = start(rules=BUDGET, owner="two")
    assert [turn.id for turn in heir.platform.wait_for(3) if turn.id != running] == waiting


@pytest.mark.parametrize("kind", [MessageKind.STOP, MessageKind.RESET])
def test_stop_and_new_end_a_parked_turn(start: Start, held: asyncio.Event, kind: MessageKind) -> None:
    process = start(rules=BUDGET)
    say_as(process, "rich", "a")
    waiting = say_as(process, "rich", "b")
    until(lambda: process.stored(waiting).is_parked)
    told = process.say("!", channel="b", kind=kind)
    ended, answered = process.platform.wait_for(2)
    assert (ended.id, ended.state) == (waiting, TurnState.CANCELLED)
    assert answered.id == told
    go_on(process, held)


def test_a_rate_limited_run_is_parked_until_the_server_takes_it(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assistant_runner, "PARK_FROM_SECONDS", 0.01)
    process = start(room=1)
    assistant.script(AssistantRateLimited(retry_after=0.3))
    limited = process.say("hello", channel="a")
    until(lambda: process.stored(limited).is_parked)
    other = process.say("hello", channel="b")
    assert [turn.id for turn in process.platform.wait_for(2)] == [other, limited]
    log = [entry.event for entry in process.stored(limited).audit_log]
    assert log.count(AuditEvent.RUN_RETRIED) == 1


def test_a_run_that_stays_rate_limited_is_asked_for_no_more_often_than_without_parking(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assistant_runner, "PARK_FROM_SECONDS", 0.01)
    process = start()
    for _ in range(5):
        assistant.script(AssistantRateLimited(retry_after=0.02))
    process.say("hello")
    (failed,) = process.platform.wait_for(1)
    assert failed.failure is not None
    assert failed.failure.code == AssistantRateLimited.code
    assert assistant.calls.count("run") == 3


def test_another_process_is_told_that_a_parked_turn_may_run(
    postgres_url: str, assistant: FakeAssistant, held: asyncio.Event
) -> None:
    with ExitStack() as resources:
        stores = [resources.enter_context(closing(SqlStore(postgres_url, lease_seconds=5.0))) for _ in range(2)]
        first, second = (
            WorkerProcess(store, assistant, owner=f"{n}", lease_seconds=5.0, sweep_seconds=20.0, rules=BUDGET)
            for n, store in enumerate(stores)
        )
        resources.callback(second.stop)
        resources.callback(first.stop)
        running = say_as(first, "rich", "a")
        until(lambda: first.stored(running).run_id is not None)
        waiting = say_as(second, "rich", "b")
        until(lambda: second.stored(waiting).is_parked)
        second.listen()
        assert second.listening.wait(10)
        first.worker.drain()
        go_on(first, held)
        assert [turn.id for turn in second.platform.wait_for(1)] == [waiting]
