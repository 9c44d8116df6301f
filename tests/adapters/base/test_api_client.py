"""Tokens of rate limits are taken before a call, and a 429 blocks the narrowest limit."""

from __future__ import annotations

import asyncio

import pytest

from adapters.base.api_client import ApiClient
from adapters.base.errors import PlatformRateLimited, RateLimitTimeout, Unreachable
from gateway.domain.errors import DeliveryError, LeaseLost, StoreUnavailable
from gateway.ports.token_buckets import Rate
from tests.fakes.delivery_context import FakeDeliveryContext

BUCKETS = {"x:chat:1": Rate(1.0, 1), "x": Rate(0.1, 5)}


class SampleClient(ApiClient):
    platform = "X"

    def translate(self, method: str, exc: Exception) -> DeliveryError:
        return Unreachable(f"X did not answer {method}")

    async def close(self) -> None:
        """Has nothing open."""


class SampleCall:
    """What is sent."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.sent = 0
        self._problem = problem

    async def __call__(self) -> int:
        self.sent += 1
        if self._problem:
            raise self._problem
        return self.sent


async def limited(delivery: FakeDeliveryContext, send: SampleCall, max_wait: float = 0.0) -> int:
    return await SampleClient().limited(send, delivery, BUCKETS, max_wait=max_wait)


async def test_a_token_of_each_limit_is_taken_the_narrowest_first() -> None:
    delivery = FakeDeliveryContext()
    assert await limited(delivery, SampleCall()) == 1
    assert delivery.acquired == ["x:chat:1", "x"]


@pytest.mark.parametrize("full", BUCKETS)
async def test_without_a_token_nothing_is_sent(full: str) -> None:
    send = SampleCall()
    with pytest.raises(RateLimitTimeout, match=f"no token for {full}$") as caught:
        await limited(FakeDeliveryContext(exhausted_buckets={full}), send)
    assert caught.value.retry_after
    assert send.sent == 0


class SlowDelivery(FakeDeliveryContext):
    """Each token takes some of the time."""

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        self.saved_progress.append((bucket, str(max_wait)))
        await asyncio.sleep(0.02)
        return True


async def test_all_tokens_of_a_call_together_may_take_max_wait() -> None:
    delivery = SlowDelivery()
    await limited(delivery, SampleCall(), max_wait=9)
    first, second = (float(seconds) for _, seconds in delivery.saved_progress)
    assert 8 < second < first <= 9


class BrokenDelivery(FakeDeliveryContext):
    problem: Exception

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        raise self.problem


@pytest.mark.parametrize(("problem", "raised"), [(StoreUnavailable(), RateLimitTimeout), (LeaseLost(), LeaseLost)])
async def test_limits_that_cannot_be_read_and_a_lost_lease_let_nothing_through(
    problem: Exception, raised: type[Exception]
) -> None:
    delivery, send = BrokenDelivery(), SampleCall()
    delivery.problem = problem
    with pytest.raises(raised):
        await limited(delivery, send)
    assert send.sent == 0


async def test_a_429_blocks_the_narrowest_limit() -> None:
    delivery = FakeDeliveryContext()
    with pytest.raises(PlatformRateLimited):
        await limited(delivery, SampleCall(PlatformRateLimited(retry_after=7.0)))
    assert delivery.blocked == [("x:chat:1", 7.0)]


async def test_a_database_that_is_away_does_not_hide_a_429() -> None:
    class AwayDelivery(FakeDeliveryContext):
        async def block_for(self, bucket: str, seconds: float) -> None:
            raise StoreUnavailable

    with pytest.raises(PlatformRateLimited):
        await limited(AwayDelivery(), SampleCall(PlatformRateLimited(retry_after=7.0)))


def test_every_exception_is_translated_but_ours() -> None:
    client = SampleClient()
    with pytest.raises(Unreachable, match="did not answer post"), client.translated("post"):
        raise ValueError
    with pytest.raises(RateLimitTimeout), client.translated("post"):
        raise RateLimitTimeout
