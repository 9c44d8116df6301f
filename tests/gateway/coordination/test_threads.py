"""Calls in other threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.coordination.threads import in_thread


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_a_call_runs_in_another_thread_and_its_result_comes_back(executor: ThreadPoolExecutor) -> None:
    assert await in_thread(executor, divmod, 7, 2) == (3, 1)
    assert await in_thread(executor, threading.get_ident) != threading.get_ident()


async def test_what_a_call_raises_is_raised_to_its_caller(executor: ThreadPoolExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(executor, divmod, 7, 0)


async def test_a_caller_that_is_cancelled_keeps_its_call_from_beginning_only(executor: ThreadPoolExecutor) -> None:
    begun, gate, made = threading.Event(), threading.Event(), list[str]()

    def work(name: str) -> None:
        begun.set()
        gate.wait()
        made.append(name)

    first, second, third = (in_thread(executor, work, name) for name in ("first", "second", "third"))
    await asyncio.to_thread(begun.wait)
    first.cancel()
    second.cancel()
    gate.set()
    await third
    assert made == ["first", "third"]
