"""A tick is one turn, whatever dies and however late it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import Blocked, Overloaded, StoreUnavailable
from gateway.domain.models import ConversationKey, Message, TurnState
from gateway.ports.inbox import AcceptResult
from gateway.ports.schedules import Push, Schedule
from gateway.push.messages import PushMessages
from gateway.push.scheduler import MISSED, Scheduler
from storage.store import SqlStore
from tests.gateway.worker_process import Start, WorkerProcess

PLACE = ConversationKey("fake", channel="c")


@pytest.fixture
def process(start: Start) -> WorkerProcess:
    return start()


def scheduler(process: WorkerProcess, *, skips: bool = False, accept: object = None) -> Scheduler:
    return Scheduler(
        AsyncStore(process.store, process.executor),
        process.store.schedules,
        PushMessages([process.platform], process.assistants.router),
        accept or process.async_inbox.accept,  # type: ignore[arg-type]  # of the same form
        skips_missed=skips,
    )


def run(process: WorkerProcess, one: Scheduler) -> None:
    process.worker.run_coroutine(one.run_due())


def add(store: SqlStore, seconds_late: float, every: str = "* * * * *", **more: object) -> Schedule:
    now, _ = store.schedules.due(["fake"], 1)
    push = Push(replace(PLACE, **more), "Hello")  # type: ignore[arg-type]  # names of the key
    return store.schedules.add(Schedule("sch_1", "push key a", push, every, "UTC", now - seconds_late))


def stored(store: SqlStore) -> Schedule:
    found = store.schedules.get("sch_1")
    assert found is not None
    return found


def test_a_tick_becomes_a_turn_and_the_next_one_is_later(process: WorkerProcess) -> None:
    tick = add(process.store, 0.5)
    run(process, scheduler(process))
    (turn,) = process.platform.wait_for(1)
    after = stored(process.store)
    assert (turn.reply, after.last_turn, after.problem) == ("Hello", turn.id, "")
    assert after.next_at is not None
    assert tick.next_at is not None
    assert 0 < after.next_at - tick.next_at <= 120.5  # a minute may begin between the two looks at the clock
    run(process, scheduler(process))
    assert process.store.count_turns(PLACE, "", 60.0) == 1


def test_what_comes_once_is_over_after_its_tick(process: WorkerProcess) -> None:
    add(process.store, 0.5, every="")
    run(process, scheduler(process))
    process.platform.wait_for(1)
    assert stored(process.store).next_at is None


def test_a_process_that_dies_before_it_has_noted_a_tick_leaves_one_turn(process: WorkerProcess) -> None:
    tick = add(process.store, 0.5)

    async def accept_and_die(message: Message) -> AcceptResult:
        await process.async_inbox.accept(message)
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        run(process, scheduler(process, accept=accept_and_die))
    assert stored(process.store) == tick
    run(process, scheduler(process))
    (turn,) = process.platform.wait_for(1)
    assert stored(process.store).last_turn == turn.id
    assert process.store.count_turns(PLACE, "", 60.0) == 1


def test_two_processes_make_one_turn_of_a_tick(process: WorkerProcess) -> None:
    add(process.store, 0.5)

    async def both() -> None:
        await asyncio.gather(scheduler(process).run_due(), scheduler(process).run_due())

    process.worker.run_coroutine(both())
    process.platform.wait_for(1)
    assert process.store.count_turns(PLACE, "", 60.0) == 1


@pytest.mark.parametrize("skips", [True, False])
def test_of_many_missed_ticks_none_or_one_is_sent(process: WorkerProcess, *, skips: bool) -> None:
    add(process.store, 3600.0)
    run(process, scheduler(process, skips=skips))
    run(process, scheduler(process, skips=skips))
    after, (now, _) = stored(process.store), process.store.schedules.due(["fake"], 1)
    assert after.next_at is not None
    assert after.next_at > now
    assert after.problem == (MISSED if skips else "")
    assert process.store.count_turns(PLACE, "", 60.0) == (0 if skips else 1)


@pytest.mark.parametrize(
    ("error", "late", "problem"),
    [
        (Blocked(), 0.5, str(Blocked())),
        (ValueError("secret"), 0.5, "ValueError"),
        (Overloaded("full"), 90.0, "full"),
    ],
)
def test_a_tick_that_cannot_be_sent_says_why_and_holds_up_no_other(
    process: WorkerProcess, error: Exception, late: float, problem: str
) -> None:
    add(process.store, late)

    async def refuse(_: Message) -> AcceptResult:
        raise error

    run(process, scheduler(process, accept=refuse))
    assert stored(process.store).problem == problem
    assert process.store.schedules.due(["fake"], 10)[1] == []


def test_a_full_queue_puts_a_tick_off(process: WorkerProcess) -> None:
    tick = add(process.store, 0.5)

    async def refuse(_: Message) -> AcceptResult:
        raise Overloaded

    run(process, scheduler(process, accept=refuse))
    assert stored(process.store) == tick


DAY = 86_400.0


def test_a_tick_that_a_clock_ahead_has_put_off_is_planned_again(process: WorkerProcess) -> None:
    late = add(process.store, -365 * DAY, every="0 9 * * *").next_at
    run(process, scheduler(process))
    after, (now, _) = stored(process.store), process.store.schedules.due(["fake"], 1)
    assert late is not None
    assert after.next_at is not None
    assert now < after.next_at <= now + DAY
    run(process, scheduler(process))
    assert stored(process.store) == after


def test_a_process_that_sees_the_clock_set_back_plans_again(process: WorkerProcess) -> None:
    one = scheduler(process)
    run(process, one)
    put_off = add(process.store, -365 * DAY, every="0 9 * * *")
    run(process, one)
    assert stored(process.store) == put_off
    one._latest += 3600.0
    run(process, one)
    assert stored(process.store).next_at != put_off.next_at


def test_what_comes_once_waits_for_its_time(process: WorkerProcess) -> None:
    once = add(process.store, -365 * DAY, every="")
    run(process, scheduler(process))
    assert stored(process.store) == once


def test_a_tick_that_was_a_turn_before_the_clock_was_set_back_is_no_second_one(process: WorkerProcess) -> None:
    tick = add(process.store, 0.5)
    run(process, scheduler(process))
    process.platform.wait_for(1)
    after = stored(process.store)
    process.store.schedules.advance(after, tick.next_at, None)
    run(process, scheduler(process))
    assert stored(process.store).last_turn == after.last_turn
    assert process.store.count_turns(PLACE, "", 60.0) == 1


def test_a_channel_that_is_wrong_by_now_is_named(process: WorkerProcess) -> None:
    add(process.store, 0.5, channel="nowhere")
    run(process, scheduler(process))
    assert "`channel` must be somewhere" in stored(process.store).problem


def test_a_prompt_is_asked(process: WorkerProcess) -> None:
    now, _ = process.store.schedules.due(["fake"], 1)
    process.store.schedules.add(Schedule("sch_1", "push key a", Push(PLACE, prompt="Sum up"), next_at=now - 1))
    run(process, scheduler(process))
    (turn,) = process.platform.wait_for(1)
    assert (turn.reply, turn.state) == ("You said: Sum up", TurnState.ANSWERED)
