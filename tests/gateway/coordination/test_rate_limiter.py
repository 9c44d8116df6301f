"""Places under a limit, as they are counted in one process, and in the database for several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.coordination import rate_limiter
from gateway.coordination.async_store import Journal
from gateway.coordination.rate_limiter import Limits
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import Rate
from storage.store import SqlStore


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limiter, "time", clock)
    monkeypatch.setattr(rate_limiter, "asyncio", clock)
    return clock


@pytest.fixture
def alone(sqlite_store: SqlStore) -> Limits:
    with ThreadPoolExecutor(1) as executor:
        return Limits(Journal(sqlite_store, executor), shared=False)


async def test_as_many_as_the_burst_go_at_once_and_the_others_one_by_one(alone: Limits, clock: Clock) -> None:
    for _ in range(5):
        assert await alone.take("b", Rate(2.0, burst=3), patience=60.0)
    assert clock.slept == [2.0, 2.0]


async def test_a_pause_gives_places_back_up_to_the_burst(alone: Limits, clock: Clock) -> None:
    rate = Rate(2.0, burst=2)
    assert [await alone.take("b", rate, patience=0.0) for _ in range(3)] == [True, True, False]
    clock.now += 2.0
    assert [await alone.take("b", rate, patience=0.0) for _ in range(2)] == [True, False]
    clock.now += 3600.0
    assert [await alone.take("b", rate, patience=0.0) for _ in range(3)] == [True, True, False]


async def test_who_is_not_patient_enough_takes_no_place(alone: Limits, clock: Clock) -> None:
    rate = Rate(10.0)
    assert await alone.take("b", rate, patience=0.0)
    assert not await alone.take("b", rate, patience=9.0)
    assert await alone.take("b", rate, patience=10.0)
    assert clock.slept == [10.0]


async def test_one_bucket_does_not_hold_up_another(alone: Limits, clock: Clock) -> None:
    await alone.hold_off("b", 30.0)
    assert not await alone.take("b", Rate(1.0, burst=5), patience=29.0)
    assert await alone.take("c", Rate(1.0), patience=0.0)
    assert await alone.take("b", Rate(1.0, burst=5), patience=30.0)
    assert clock.slept == [30.0]


async def test_a_shorter_hold_does_not_end_a_longer_one(alone: Limits, clock: Clock) -> None:
    await alone.hold_off("b", 30.0)
    await alone.hold_off("b", 1.0)
    assert not await alone.take("b", Rate(1.0), patience=20.0)


async def test_buckets_that_nobody_uses_are_forgotten_and_others_are_not(alone: Limits, clock: Clock) -> None:
    await alone.hold_off("held", 10_000.0)
    for number in range(3 * rate_limiter.SWEEP_AT):
        clock.now += 1.0
        assert await alone.take(f"b{number}", Rate(1.0), patience=0.0)
    assert len(alone._next) <= 2 * rate_limiter.SWEEP_AT
    assert not await alone.take("held", Rate(1.0), patience=0.0)


@settings(max_examples=50, deadline=None)
@given(every=st.floats(0.1, 10.0), burst=st.integers(1, 5), pauses=st.lists(st.floats(0.0, 20.0), max_size=30))
async def test_no_stretch_of_time_has_more_places_than_the_rate_allows(
    every: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as executor:
        patch.setattr(rate_limiter, "time", clock)
        patch.setattr(rate_limiter, "asyncio", clock)
        counting = Limits(Journal(SqlStore("sqlite:///never.db"), executor), shared=False)
        taken = []
        for pause in pauses:
            clock.now += pause
            if await counting.take("b", Rate(every, burst), patience=0.0):
                taken.append(clock.now)
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= burst + (end - start) / every + 1e-6


async def test_processes_that_share_a_database_share_its_places(sqlite_store: SqlStore) -> None:
    with ThreadPoolExecutor(1) as executor:
        one, two = (Limits(Journal(sqlite_store, executor), shared=True) for _ in range(2))
        assert await one.take("b", Rate(60.0), patience=0.0)
        assert not await two.take("b", Rate(60.0), patience=0.0)
        await one.hold_off("c", 60.0)
        assert not await two.take("c", Rate(1.0), patience=0.0)


async def test_a_database_that_is_away_leaves_each_process_to_count_for_itself(
    sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(sqlite_store, "reserve", away)
    monkeypatch.setattr(sqlite_store, "hold_off", away)
    with ThreadPoolExecutor(1) as executor:
        shared = Limits(Journal(sqlite_store, executor), shared=True)
        assert await shared.take("b", Rate(60.0), patience=0.0)
        assert not await shared.take("b", Rate(60.0), patience=0.0)
        await shared.hold_off("c", 60.0)
        assert not await shared.take("c", Rate(1.0), patience=0.0)
