"""Events between processes over PostgreSQL, with polling switched off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gateway.coordination.peers import SLACK
from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.models import Join, TurnId, TurnState
from gateway.ports.cluster import WorkerLoad
from gateway.ports.inbox import AcceptResult
from gateway.worker.worker import BUSY_PAUSE_SECONDS
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_helpers import enqueue_one
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess, held
from tests.waiting import until

PATIENCE = 20.0
NEVER = 3600.0
"""Seconds between two polls of the database: so long that nothing in these tests is found by polling."""
CAPACITY = 50
"""Conversations that a process works on at once."""


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


def accept(process: WorkerProcess, channel: str, text: str = "hello") -> AcceptResult:
    return process.inbox.accept(process.platform.message(text, channel=channel))


def turn_owner(process: WorkerProcess, turn: TurnId) -> str:
    """Returns the process that claimed a turn; empty if none did."""
    claims = [entry.detail for entry in process.stored(turn).audit_log if entry.event is AuditEvent.CLAIMED]
    return claims[-1] if claims else ""


def wait_until_it_runs(assistant: FakeAssistant) -> None:
    until(lambda: assistant.running)


def test_a_turn_beyond_the_capacity_of_one_process_is_claimed_by_another_at_once(start: Start) -> None:
    full, idle = start(owner="full", room=0), start(owner="idle")
    idle.listening.wait(PATIENCE)
    full.say("hello")
    assert idle.platform.wait_for(1)[0].reply == "You said: hello"


def test_a_process_with_something_to_do_claims_in_few_queries(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, working = start(owner="full", room=0), start(owner="working")
    working.listening.wait(PATIENCE)
    assistant.think = lambda _: asyncio.Event()
    full.say("hello", channel="first")
    until(lambda: assistant.running == 1)
    claim, queries = working.store.claim, []

    def note(*args: Any) -> Sequence[Claim]:
        queries.append(time.monotonic())
        return claim(*args)

    monkeypatch.setattr(working.store, "claim", note)
    for number in range(10):
        full.say("hello", channel=f"{number}")
    until(lambda: assistant.running == 11)
    assert all(later - earlier >= 0.9 * BUSY_PAUSE_SECONDS for earlier, later in pairwise(queries))
    working.stop(grace=0.0)


def share_of(process: WorkerProcess) -> int:
    """Returns how many more conversations a process would claim at once."""

    async def ask() -> int:
        return process.worker.share()

    return process.worker.run_coroutine(ask())


def test_a_process_busier_than_another_leaves_turns_to_it(start: Start, assistant: FakeAssistant) -> None:
    busy = start(owner="busy")
    until(lambda: share_of(busy) == CAPACITY)
    idle = start(owner="idle")
    until(lambda: share_of(busy) == SLACK)
    assistant.think = lambda _: asyncio.Event()
    taken = [accept(busy, f"{number}").claimed_here for number in range(SLACK)]
    assert taken == [True] * SLACK
    left = accept(busy, "left")
    assert not left.claimed_here
    until(lambda: turn_owner(idle, left.turn.id) == "idle")
    for process in (busy, idle):
        process.stop(grace=0.0)


def test_a_process_far_ahead_of_another_leaves_it_what_follows_in_its_conversations(
    start: Start, assistant: FakeAssistant
) -> None:
    busy, runs = start(owner="busy"), []

    def begin(_: object) -> asyncio.Event:
        runs.append(asyncio.Event())
        return runs[-1]

    assistant.think = begin
    channels = [f"{number}" for number in range(SLACK + 4)]
    for channel in channels:
        accept(busy, channel)
    until(lambda: assistant.running == len(channels))
    following = [accept(busy, channel, "more").turn.id for channel in channels]
    idle = start(owner="idle")
    idle.listening.wait(PATIENCE)
    until(lambda: share_of(busy) == 0)
    for run in runs[:4]:
        busy.worker.run_coroutine(_set(run))
    until(lambda: "idle" in {turn_owner(idle, turn) for turn in following})
    for process in (busy, idle):
        process.stop(grace=0.0)


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_a_process_that_holds_its_turns_back_leaves_new_ones_to_another(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.accepting.start_pace.MAX_BURST_WAIT", NEVER)
    receiving, idle = start(owner="receiving"), start(owner="idle")
    until(lambda: share_of(receiving) == share_of(idle) == SLACK)
    with held(receiving):
        assert accept(receiving, "first").claimed_here
        left = accept(receiving, "left")
        assert not left.claimed_here
        until(lambda: turn_owner(idle, left.turn.id) == "idle")
        until(lambda: share_of(idle) == CAPACITY)  # it counts on nobody who would not start a turn at once
    receiving.platform.wait_for(1)


def test_on_an_idle_system_a_process_claims_what_it_receives(start: Start) -> None:
    process = start(owner="one")
    start(owner="two")
    until(lambda: share_of(process) == SLACK)
    for number in range(2 * SLACK):
        accepted = accept(process, f"{number}")
        assert accepted.claimed_here
        process.platform.wait_for(number + 1)


def test_a_process_that_died_after_it_left_a_turn_delays_it_by_less_than_a_second(
    start: Start, postgres_url: str
) -> None:
    idle = start(owner="idle")
    idle.listening.wait(PATIENCE)
    dead = SqlStore(postgres_url)
    left = enqueue_one(dead, idle.platform.message("hello"), TurnId("turn_left"), received_by="dead").turn
    dead.close()
    (delivered,) = idle.platform.wait_for(1)
    assert delivered.id == left.id
    started_at = idle.stored(left.id).started_at
    assert started_at is not None
    assert started_at - left.received_at < 1.0


def test_what_no_other_process_takes_is_claimed_by_the_busy_one(
    start: Start, assistant: FakeAssistant, postgres_url: str
) -> None:
    busy = start(owner="busy")
    frozen = SqlStore(postgres_url)
    busy.listening.wait(PATIENCE)
    frozen.announce(WorkerLoad("frozen", 0, has_capacity=True))
    until(lambda: share_of(busy) == SLACK)
    frozen.close()
    assistant.think = lambda _: asyncio.Event()
    for number in range(2 * SLACK):
        busy.say("hello", channel=f"{number}")
    until(lambda: assistant.running == 2 * SLACK)
    busy.stop(grace=0.0)


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


def test_a_message_that_another_process_takes_in_joins_the_turn_and_nobody_polls(start: Start) -> None:
    one, two = start(owner="one"), start(owner="two")
    first = replace(one.platform.message("look"), debounce_seconds=5.0, join=Join(5.0))
    turn = one.inbox.accept(first).turn
    since = time.monotonic()
    second = replace(two.platform.message("a story"), debounce_seconds=0.05, join=Join(5.0))
    assert two.inbox.accept(second).is_joined
    two.platform.wait_for(1)
    assert 0.05 <= time.monotonic() - since < 5.0
    assert one.stored(turn.id).message.text == "look\na story"
