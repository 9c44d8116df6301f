"""Events between processes over PostgreSQL, with polling switched off."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.domain.models import TurnId, TurnState
from storage.store import SqlStore
from tests import postgres
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess

PATIENCE = 20.0
NEVER = 3600.0
"""Seconds between two polls of the database: so long that nothing in these tests is found by polling."""


@pytest.fixture
def start(postgres_url: str, assistant: FakeAssistant) -> Iterator[Start]:
    """Starts processes on one PostgreSQL that learn of each other's work by events only."""
    postgres.delete_all_rows(postgres_url)
    processes: list[WorkerProcess] = []
    stores: list[SqlStore] = []

    def begin(**options: object) -> WorkerProcess:
        stores.append(SqlStore(postgres_url, lease_seconds=NEVER))
        options = {"lease_seconds": NEVER, "sweep_seconds": NEVER} | options
        processes.append(WorkerProcess(stores[-1], assistant, **options))  # type: ignore[arg-type]  # passed through
        processes[-1].listen()
        return processes[-1]

    yield begin
    for process in processes:
        process.stop()
    for store in stores:
        store.close()


def wait_until_it_runs(assistant: FakeAssistant) -> None:
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while assistant.running < 1:
        assert time.monotonic() < deadline
        pause.wait(0.01)


def test_a_turn_beyond_the_capacity_of_one_process_is_claimed_by_another_at_once(start: Start) -> None:
    full, idle = start(owner="full", room=0), start(owner="idle")
    idle.listening.wait(PATIENCE)
    full.say("hello")
    assert idle.platform.wait_for(1)[0].reply == "You said: hello"


def test_a_released_turn_is_claimed_by_another_process_at_once(start: Start, assistant: FakeAssistant) -> None:
    leaving, staying = start(owner="leaving"), start(owner="staying")
    assistant.think = lambda _: asyncio.Event()
    turn = leaving.say("hello")
    wait_until_it_runs(assistant)
    assistant.think = lambda _: None
    leaving.stop(grace=0.0)
    assert staying.platform.wait_for(1)[0].id == turn


def test_a_run_is_interrupted_when_another_process_cancels_its_turn(start: Start, assistant: FakeAssistant) -> None:
    runner, other = start(owner="runner"), start(owner="other")
    runner.listening.wait(PATIENCE)
    assistant.think = lambda _: asyncio.Event()
    turn = runner.say("hello")
    wait_until_it_runs(assistant)
    other.inbox.cancel_turn(turn)
    assert runner.platform.wait_for(1)[0].state is TurnState.CANCELLED


def test_a_waiting_process_is_told_when_another_process_resolves_the_turn(start: Start) -> None:
    waiting = start(owner="waiting", room=0)
    start(owner="runner")
    waiting.listening.wait(PATIENCE)
    turn = waiting.say("hello", awaited=True)
    assert waiting.decided.get(timeout=PATIENCE) == turn
    assert waiting.stored(turn).reply == "You said: hello"


def test_no_event_is_sent_for_a_turn_that_nobody_awaits(start: Start) -> None:
    taking, runner = start(owner="taking", room=0), start(owner="runner")
    taking.listening.wait(PATIENCE)
    taking.say("unawaited")
    runner.platform.wait_for(1)
    awaited: TurnId = taking.say("awaited", awaited=True)
    assert taking.decided.get(timeout=PATIENCE) == awaited
