"""What a delivery learns of earlier attempts at its turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.worker.delivery_context import WorkerDeliveryContext
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_and_claim

NOT_USED = cast("Any", None)


def test_a_delivery_continues_from_what_an_earlier_process_posted(sqlite_store: SqlStore) -> None:
    claim = enqueue_and_claim(sqlite_store)
    again = replace(claim, turn=replace(claim.turn, posted_messages=("1.1", "1.2")))
    guard = LeaseGuard(NOT_USED, again, lease_seconds=10.0, requested_at=lease_clock())
    context = WorkerDeliveryContext(NOT_USED, NOT_USED, NOT_USED, guard)
    assert (context.posted_messages, context.first_attempt) == (("1.1", "1.2"), again.first_attempt)
