"""Calls in other threads."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from structlog.testing import capture_logs

from gateway.coordination.threads import ThreadPool, in_thread


@pytest.fixture
def thread() -> Iterator[ThreadPool]:
    thread = ThreadPool(1, "pool")
    yield thread
    thread.shutdown()


async def test_a_call_runs_in_another_thread_and_its_result_comes_back(thread: ThreadPool) -> None:
    assert await in_thread(thread, divmod, 7, 2) == (3, 1)
    assert await in_thread(thread, threading.get_ident) != threading.get_ident()


async def test_a_thread_is_named_after_its_pool(thread: ThreadPool) -> None:
    assert (await in_thread(thread, threading.current_thread)).name == "pool_0"


async def test_what_a_call_raises_is_raised_to_its_caller(thread: ThreadPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(thread, divmod, 7, 0)


async def test_a_caller_that_is_cancelled_keeps_its_call_from_beginning_only(thread: ThreadPool) -> None:
    begun, gate, made = threading.Event(), threading.Event(), list[str]()

    def work(name: str) -> None:
        begun.set()
        gate.wait()
        made.append(name)

    first, second, third = (in_thread(thread, work, name) for name in ("first", "second", "third"))
    await asyncio.to_thread(begun.wait)
    first.cancel()
    second.cancel()
    gate.set()
    await third
    assert made == ["first", "third"]


def test_a_call_that_fails_is_logged_and_the_next_one_is_made(thread: ThreadPool) -> None:
    made = threading.Event()
    with capture_logs() as logged:
        thread.submit(lambda: 1 / 0)
        thread.submit(made.set)
        assert made.wait(10.0)
    assert [line["event"] for line in logged] == ["a call in a thread failed"]


def test_what_was_submitted_is_done_when_the_threads_are_shut_down_and_nothing_more_is_taken() -> None:
    made, pool = list[int](), ThreadPool(2, "pool")
    for number in range(20):
        pool.submit(partial(made.append, number))
    pool.shutdown()
    assert sorted(made) == list(range(20))
    with pytest.raises(RuntimeError):
        pool.submit(made.clear)


def test_a_call_whose_loop_is_closed_by_then_tells_nobody(thread: ThreadPool) -> None:
    gate = threading.Event()

    async def call() -> None:
        in_thread(thread, gate.wait)

    asyncio.run(call())
    with capture_logs() as logged:
        gate.set()
        thread.shutdown()
    assert logged == []


async def test_a_call_is_forgotten_once_it_is_made(thread: ThreadPool) -> None:
    class Argument:
        pass

    argument, freed = Argument(), threading.Event()
    weakref.finalize(argument, freed.set)
    await in_thread(thread, id, argument)
    del argument
    assert freed.wait(10.0)
