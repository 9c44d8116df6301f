"""What a delivery learns of earlier attempts at its turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.coordination.rate_limiter import RateLimiter
from gateway.ports.token_buckets import Rate
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from storage.store import SqlStore
from tests.contracts import reporting_helpers
from tests.contracts.store_helpers import enqueue_and_claim

NOT_USED = cast("Any", None)


def test_a_delivery_continues_from_what_an_earlier_process_posted(sqlite_store: SqlStore) -> None:
    claim = enqueue_and_claim(sqlite_store)
    again = replace(claim, turn=replace(claim.turn, posted_messages=("1.1", "1.2")))
    guard = LeaseGuard(NOT_USED, again, lease_seconds=10.0, requested_at=lease_clock())
    context = WorkerDeliveryContext(NOT_USED, NOT_USED, NOT_USED, guard)
    assert (context.posted_messages, context.first_attempt) == (("1.1", "1.2"), again.first_attempt)


async def test_what_a_platform_allows_it_allows_each_bot(sqlite_store: SqlStore) -> None:
    with ThreadPoolExecutor(1) as executor:
        limiter = RateLimiter(AsyncStore(sqlite_store, executor), shared=True)
        taken: list[bool] = []
        for platform in ("pigeon", "pigeon:sales", "pigeon"):
            claim = reporting_helpers.enqueue_and_claim(sqlite_store, f"to {len(taken)}", platform=platform)
            guard = LeaseGuard(NOT_USED, claim, lease_seconds=10.0, requested_at=lease_clock())
            context = WorkerDeliveryContext(limiter, NOT_USED, NOT_USED, guard)
            taken.append(await context.acquire("pigeon:all", Rate(3600.0, 1), max_wait=0.0))
    assert taken == [True, True, False]
