"""Token buckets, counted in memory for one process and in the database for several."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.coordination import rate_limiter
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.rate_limiter import RateLimiter
from gateway.domain.errors import StoreUnavailable
from gateway.ports.token_buckets import Rate, TokenRequest
from storage.store import SqlStore
from tests.examples import examples
from tests.fakes.token_buckets import FakeTokenBuckets

HIGH_RATE = Rate(0.04, burst=2)
"""Of 25 a second, as a whole bot of Telegram has."""


class SteppedClock:
    """A clock that advances only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    clock = SteppedClock()
    monkeypatch.setattr(rate_limiter, "time", clock)
    monkeypatch.setattr(rate_limiter, "asyncio", clock)
    return clock


@pytest.fixture
def local(sqlite_store: SqlStore) -> RateLimiter:
    with ThreadPoolExecutor(1) as executor:
        return RateLimiter(AsyncStore(sqlite_store, executor), shared=False)


async def test_a_burst_passes_at_once_and_the_rest_at_the_rate(local: RateLimiter, clock: SteppedClock) -> None:
    for _ in range(5):
        assert await local.acquire("b", Rate(2.0, burst=3), max_wait=60.0)
    assert clock.slept == [2.0, 2.0]


async def test_a_pause_refills_the_bucket_up_to_the_burst(local: RateLimiter, clock: SteppedClock) -> None:
    rate = Rate(2.0, burst=2)
    assert [await local.acquire("b", rate, max_wait=0.0) for _ in range(3)] == [True, True, False]
    clock.now += 2.0
    assert [await local.acquire("b", rate, max_wait=0.0) for _ in range(2)] == [True, False]
    clock.now += 3600.0
    assert [await local.acquire("b", rate, max_wait=0.0) for _ in range(3)] == [True, True, False]


async def test_a_wait_beyond_the_maximum_takes_no_token(local: RateLimiter, clock: SteppedClock) -> None:
    rate = Rate(10.0)
    assert await local.acquire("b", rate, max_wait=0.0)
    assert not await local.acquire("b", rate, max_wait=9.0)
    assert await local.acquire("b", rate, max_wait=10.0)
    assert clock.slept == [10.0]


async def test_a_blocked_bucket_does_not_block_another(local: RateLimiter, clock: SteppedClock) -> None:
    await local.block_for("b", 30.0)
    assert not await local.acquire("b", Rate(1.0, burst=5), max_wait=29.0)
    assert await local.acquire("c", Rate(1.0), max_wait=0.0)
    assert await local.acquire("b", Rate(1.0, burst=5), max_wait=30.0)
    assert clock.slept == [30.0]


async def test_a_shorter_block_does_not_end_a_longer_one(local: RateLimiter, clock: SteppedClock) -> None:
    await local.block_for("b", 30.0)
    await local.block_for("b", 1.0)
    assert not await local.acquire("b", Rate(1.0), max_wait=20.0)


async def test_unused_buckets_are_removed_and_blocked_ones_are_kept(local: RateLimiter, clock: SteppedClock) -> None:
    await local.block_for("held", 10_000.0)
    for number in range(3 * rate_limiter.MIN_BUCKETS_BEFORE_SWEEP):
        clock.now += 1.0
        assert await local.acquire(f"b{number}", Rate(1.0), max_wait=0.0)
    assert len(local._next_token_at) <= 2 * rate_limiter.MIN_BUCKETS_BEFORE_SWEEP
    assert not await local.acquire("held", Rate(1.0), max_wait=0.0)


@settings(max_examples=examples(20))
@given(every=st.floats(0.1, 10.0), burst=st.integers(1, 5), pauses=st.lists(st.floats(0.0, 20.0), max_size=30))
async def test_no_interval_has_more_tokens_than_the_rate_allows(every: float, burst: int, pauses: list[float]) -> None:
    clock = SteppedClock()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as executor:
        patch.setattr(rate_limiter, "time", clock)
        patch.setattr(rate_limiter, "asyncio", clock)
        limiter = RateLimiter(AsyncStore(SqlStore("sqlite:///never.db"), executor), shared=False)
        taken = []
        for pause in pauses:
            clock.now += pause
            if await limiter.acquire("b", Rate(every, burst), max_wait=0.0):
                taken.append(clock.now)
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= burst + (end - start) / every + 1e-6


async def test_processes_that_share_a_database_share_its_buckets(sqlite_store: SqlStore) -> None:
    with ThreadPoolExecutor(1) as executor:
        one, two = (RateLimiter(AsyncStore(sqlite_store, executor), shared=True) for _ in range(2))
        assert await one.acquire("b", Rate(60.0), max_wait=0.0)
        assert not await two.acquire("b", Rate(60.0), max_wait=0.0)
        await one.block_for("c", 60.0)
        assert not await two.acquire("c", Rate(1.0), max_wait=0.0)


async def test_tokens_that_are_asked_for_together_are_taken_together(
    sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, blocks = sqlite_store.take_tokens, []

    def note(requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        blocks.append([request.bucket for request in requests])
        return take(requests)

    monkeypatch.setattr(sqlite_store, "take_tokens", note)
    with ThreadPoolExecutor(1) as executor:
        limiter = RateLimiter(AsyncStore(sqlite_store, executor), shared=True)
        taken = [limiter.acquire(bucket, Rate(60.0, burst=2), max_wait=0.0) for bucket in "babbb"]
        assert await asyncio.gather(*taken) == [True, True, True, False, False]
    assert blocks == [["b", "a", "b", "b", "b"]]


async def test_each_process_counts_alone_while_the_database_is_unavailable(
    sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(sqlite_store, "take_tokens", unavailable)
    monkeypatch.setattr(sqlite_store, "block_for", unavailable)
    with ThreadPoolExecutor(1) as executor:
        shared = RateLimiter(AsyncStore(sqlite_store, executor), shared=True)
        assert await shared.acquire("b", Rate(60.0), max_wait=0.0)
        assert not await shared.acquire("b", Rate(60.0), max_wait=0.0)
        await shared.block_for("c", 60.0)
        assert not await shared.acquire("c", Rate(1.0), max_wait=0.0)


# ---------------------------------------------------------------- blocks of tokens


class CountedBuckets(FakeTokenBuckets):
    """The database's buckets on a stepped clock; counts requests and tokens of each."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__(clock.monotonic)
        self.requests: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    def take_tokens(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        for request in requests:
            self.requests[request.bucket] += 1
            self.tokens[request.bucket] += request.count
        return super().take_tokens(requests)


@contextmanager
def processes_sharing(buckets: FakeTokenBuckets, count: int = 2) -> Iterator[list[RateLimiter]]:
    with ThreadPoolExecutor(1) as executor:
        yield [RateLimiter(AsyncStore(buckets, executor), shared=True) for _ in range(count)]  # type: ignore[arg-type]  # all that a limiter calls


async def test_tokens_of_a_high_rate_are_taken_in_blocks(clock: SteppedClock) -> None:
    buckets = CountedBuckets(clock)
    with processes_sharing(buckets) as (one, _):
        for _ in range(60):
            assert await one.acquire("bot", HIGH_RATE, max_wait=60.0)
    assert buckets.requests["bot"] <= 60 / 5
    assert sum(clock.slept) == pytest.approx(58 * HIGH_RATE.interval)


async def test_a_block_is_a_small_part_of_a_burst(clock: SteppedClock) -> None:
    buckets, rate = CountedBuckets(clock), Rate(0.24, burst=50)
    with processes_sharing(buckets) as (one, two):
        taken = [await one.acquire("posts", rate, max_wait=0.0) for _ in range(25)]
        taken += [await two.acquire("posts", rate, max_wait=0.0) for _ in range(20)]
    assert all(taken)
    assert buckets.requests["posts"] <= 45 / 3


async def test_tokens_of_a_low_rate_are_taken_one_by_one(clock: SteppedClock) -> None:
    buckets, rate = CountedBuckets(clock), Rate(1.1, burst=3)
    with processes_sharing(buckets) as (one, two):
        taken = [await each.acquire("channel", rate, max_wait=0.0) for each in (one, one, two, two)]
    assert taken == [True, True, True, False]


async def test_now_and_then_one_token_is_taken(clock: SteppedClock) -> None:
    with processes_sharing(CountedBuckets(clock)) as (one, two):
        for _ in range(5):
            assert await one.acquire("bot", HIGH_RATE, max_wait=0.0)
            assert await two.acquire("bot", HIGH_RATE, max_wait=0.0)
            clock.now += 1.0


async def test_callers_at_the_same_time_take_no_block_each(clock: SteppedClock) -> None:
    buckets = CountedBuckets(clock)
    with processes_sharing(buckets) as (one, _):
        for _ in range(4):
            await one.acquire("bot", HIGH_RATE, max_wait=60.0)
        assert all(await asyncio.gather(*(one.acquire("bot", HIGH_RATE, max_wait=60.0) for _ in range(20))))
    assert 24 <= buckets.tokens["bot"] <= 24 + 6


async def test_a_block_is_given_up_when_its_bucket_is_blocked(clock: SteppedClock) -> None:
    with processes_sharing(CountedBuckets(clock)) as (one, _):
        for _ in range(4):
            assert await one.acquire("bot", HIGH_RATE, max_wait=60.0)
        assert one._blocks["bot"].valid_at
        await one.block_for("bot", 30.0)
        assert not await one.acquire("bot", HIGH_RATE, max_wait=29.0)


async def test_expired_blocks_are_removed(clock: SteppedClock) -> None:
    with processes_sharing(CountedBuckets(clock)) as (one, _):
        for number in range(2 * rate_limiter.MIN_BUCKETS_BEFORE_SWEEP):
            clock.now += 1.0
            assert await one.acquire(f"bot{number}", HIGH_RATE, max_wait=0.0)
        assert len(one._blocks) <= rate_limiter.MIN_BUCKETS_BEFORE_SWEEP + 1


@settings(max_examples=examples(20))
@given(
    every=st.sampled_from([0.01, 0.04, 0.2]),
    burst=st.sampled_from([1, 2, 3, 30]),
    steps=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(1, 8),
            st.sampled_from([0.0, 0.01, 0.1, 0.2, 10.0]),
            st.sampled_from([0.0, 1.0]),
        ),
        max_size=15,
    ),
)
async def test_blocks_let_no_more_through_than_the_rate_allows(
    every: float, burst: int, steps: list[tuple[int, int, float, float]]
) -> None:
    """Two processes make some calls each in any order, with pauses before them, and wait for a token or not."""
    clock, taken = SteppedClock(), []
    with pytest.MonkeyPatch.context() as patch, processes_sharing(CountedBuckets(clock)) as limiters:
        patch.setattr(rate_limiter, "time", clock)
        patch.setattr(rate_limiter, "asyncio", clock)
        for process, calls, pause, max_wait in steps:
            clock.now += pause
            acquire = partial(limiters[process].acquire, "b", Rate(every, burst), max_wait=max_wait)
            taken += [clock.now for _ in range(calls) if await acquire()]
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= burst + (end - start) / every + 1e-6
