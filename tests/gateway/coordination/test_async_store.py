"""Tests of AsyncStore: what is called in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, current_thread
from typing import cast

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import Store


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, thread_name_prefix="database") as thread:
        yield thread


@pytest.fixture
def store(thread: ThreadPoolExecutor) -> AsyncStore:
    return AsyncStore(cast("Store", "the store"), thread)


async def test_an_operation_is_called_in_a_thread_with_the_store(store: AsyncStore) -> None:
    given, name = await store.call(lambda given: (str(given), current_thread().name))
    assert (given, name) == ("the store", "database_0")


async def test_what_an_operation_raises_is_raised(store: AsyncStore) -> None:
    def fail(_: Store) -> None:
        raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await store.call(fail)


async def test_an_operation_whose_caller_is_cancelled_before_is_not_called(store: AsyncStore) -> None:
    may_end = Event()
    called: list[Store] = []
    first = asyncio.create_task(store.call(lambda _: may_end.wait(10)))
    waiting = asyncio.create_task(store.call(called.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    assert await first
    assert await store.call(lambda _: called) == []


async def test_a_result_for_a_caller_that_was_cancelled_meanwhile_is_dropped(store: AsyncStore) -> None:
    begun, may_end = Event(), Event()

    def work(_: Store) -> bool:
        begun.set()
        return may_end.wait(10)

    working = asyncio.create_task(store.call(work))
    await asyncio.to_thread(begun.wait, 10)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    may_end.set()
    assert await store.call(lambda _: "next") == "next"


def test_a_result_for_a_loop_that_is_closed_is_dropped(store: AsyncStore, thread: ThreadPoolExecutor) -> None:
    begun, may_end = Event(), Event()

    def work(_: Store) -> None:
        begun.set()
        may_end.wait(10)

    async def leave() -> None:
        working = asyncio.ensure_future(store.call(work))
        await asyncio.to_thread(begun.wait, 10)
        working.cancel()

    asyncio.run(leave())
    may_end.set()
    assert thread.submit(lambda: "next").result() == "next"
