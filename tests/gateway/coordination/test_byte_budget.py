"""The budget of bytes in flight: first come, first served, and nothing is lost of it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.coordination.byte_budget import ByteBudget

LONG = 30.0


async def test_who_finds_no_room_waits_for_it_in_order() -> None:
    budget, served = ByteBudget(10), []

    async def take(name: str, count: int) -> None:
        await budget.take(count, max_wait=LONG)
        served.append(name)

    first = await budget.take(8, max_wait=LONG)
    waiting = [asyncio.create_task(take("large", 9)), asyncio.create_task(take("small", 1))]
    await asyncio.sleep(0)
    assert served == []
    budget.give_back(first)
    await asyncio.gather(*waiting)
    assert served == ["large", "small"]


async def test_more_than_there_is_takes_all_there_is() -> None:
    assert await ByteBudget(10).take(1000, max_wait=LONG) == 10


async def test_who_gives_up_leaves_its_place_to_the_next() -> None:
    budget = ByteBudget(10)
    await budget.take(5, max_wait=LONG)
    with pytest.raises(TimeoutError):
        await budget.take(6, max_wait=0.0)
    waiting = asyncio.create_task(budget.take(6, max_wait=LONG))
    next_one = asyncio.create_task(budget.take(5, max_wait=LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await next_one == 5


async def test_who_is_cancelled_at_the_moment_of_being_served_gives_it_back() -> None:
    budget = ByteBudget(10)
    held = await budget.take(10, max_wait=LONG)
    waiting = asyncio.create_task(budget.take(10, max_wait=LONG))
    await asyncio.sleep(0)
    budget.give_back(held)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await budget.take(10, max_wait=0.0) == 10


async def test_what_is_larger_than_was_known_makes_the_next_wait() -> None:
    budget = ByteBudget(10)
    held = await budget.take(5, max_wait=LONG)
    budget.take_more(7)
    waiting = asyncio.create_task(budget.take(1, max_wait=LONG))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give_back(held + 7)
    assert await waiting == 1
