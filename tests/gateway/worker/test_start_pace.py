"""Tests for the pace at which turns start."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from gateway.worker.accepting.start_pace import STARTED_AT_ONCE, StartPace


async def test_what_a_loop_keeps_up_with_starts_at_once() -> None:
    pace, seen = StartPace(), list[str]()
    asyncio.get_running_loop().call_soon(seen.append, "the loop went on")
    for _ in range(STARTED_AT_ONCE):
        await pace.wait()
    assert seen == []


async def test_the_others_start_in_their_order_after_what_is_ready() -> None:
    pace, started = StartPace(), list[int]()

    async def start(number: int) -> None:
        await pace.wait()
        started.append(number)

    tasks = [asyncio.create_task(start(number)) for number in range(2 * STARTED_AT_ONCE + 1)]
    await asyncio.sleep(0)
    assert started == list(range(STARTED_AT_ONCE))
    await asyncio.gather(*tasks)
    assert started == list(range(2 * STARTED_AT_ONCE + 1))


async def test_a_busy_loop_has_as_much_time_again_before_the_next_start() -> None:
    pace, loop = StartPace(), asyncio.get_running_loop()
    for _ in range(STARTED_AT_ONCE):
        await pace.wait()
    loop.call_soon(time.sleep, 0.05)
    since = loop.time()
    await pace.wait()
    assert loop.time() - since >= 0.095


@pytest.mark.parametrize("gone", [STARTED_AT_ONCE, STARTED_AT_ONCE + 1])
async def test_who_gives_up_is_passed_over(gone: int) -> None:
    pace = StartPace()
    tasks = [asyncio.create_task(pace.wait()) for _ in range(STARTED_AT_ONCE + 3)]
    await asyncio.sleep(0)
    tasks[gone].cancel()
    with suppress(asyncio.CancelledError):
        await tasks[gone]
    del tasks[gone]
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)


async def test_an_idle_pace_leaves_no_task() -> None:
    pace = StartPace()
    await pace.wait()
    async with asyncio.timeout(10):
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


async def test_nobody_starts_while_a_message_is_accepted() -> None:
    pace, started = StartPace(), list[int]()

    async def start(number: int) -> None:
        await pace.wait()
        started.append(number)

    with pace:
        tasks = [asyncio.create_task(start(number)) for number in range(STARTED_AT_ONCE + 1)]
        for _ in range(5):  # rounds of the loop in which they could have begun
            await asyncio.sleep(0)
        assert started == []
    await asyncio.gather(*tasks)
    assert started == list(range(STARTED_AT_ONCE + 1))


async def test_messages_without_end_delay_all_who_wait_by_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.accepting.start_pace.MAX_BURST_WAIT", 0.2)
    pace, loop = StartPace(), asyncio.get_running_loop()
    since = loop.time()
    with pace:
        await asyncio.gather(*(pace.wait() for _ in range(20 * STARTED_AT_ONCE)))
    assert 0.19 < loop.time() - since < 2.0
