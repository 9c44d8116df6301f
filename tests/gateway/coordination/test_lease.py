"""Tests of LeaseGuard: what a process may still do after it was suspended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim, Lease
from gateway.domain.errors import LeaseLost
from gateway.domain.models import ConversationKey, Message, RunId, Turn, TurnId
from gateway.ports.leased_writes import AppendAuditEntry, LeasedWrite, SetRun
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_one

LONG_AGO = lease_clock() - 3600.0
TURN = TurnId("turn_1")


@pytest.fixture
def async_store(brief_store: SqlStore) -> Iterator[AsyncStore]:
    with ThreadPoolExecutor(1) as executor:
        yield AsyncStore(brief_store, executor)


@pytest.fixture
def claim(brief_store: SqlStore) -> Claim:
    recorded = enqueue_one(brief_store, Message(ConversationKey("fake", channel="c"), "1", "hello"), TURN, owner="one")
    assert recorded.claim is not None
    return recorded.claim


def take_over(store: SqlStore, owner: str) -> None:
    """Claims the conversation for ``owner`` as soon as the lease has expired."""
    deadline = time.monotonic() + 20.0
    while not store.claim(owner, ["fake"], 1):
        assert time.monotonic() < deadline


def marks(store: SqlStore) -> list[tuple[AuditEvent, str]]:
    turn = store.get_turn(TURN)
    assert turn is not None
    return [(entry.event, entry.detail) for entry in turn.audit_log if entry.event is AuditEvent.RESUMED_AFTER_PAUSE]


async def test_within_a_lease_the_database_is_not_asked(
    async_store: AsyncStore, claim: Claim, brief_store: SqlStore
) -> None:
    brief_store.close()
    await LeaseGuard(async_store, claim, lease_seconds=60.0, requested_at=lease_clock()).assert_held()
    assert marks(brief_store) == []


async def test_a_process_continues_after_a_suspension_when_no_other_took_over(
    async_store: AsyncStore, claim: Claim, brief_store: SqlStore
) -> None:
    guard = LeaseGuard(async_store, claim, lease_seconds=60.0, requested_at=LONG_AGO)
    await guard.assert_held()
    await guard.assert_held()
    assert marks(brief_store) == [(AuditEvent.RESUMED_AFTER_PAUSE, "one")]


async def test_a_renewed_lease_is_held_without_asking_the_database(
    async_store: AsyncStore, claim: Claim, brief_store: SqlStore
) -> None:
    guard = LeaseGuard(async_store, claim, lease_seconds=60.0, requested_at=LONG_AGO)
    guard.mark_renewed(lease_clock())
    await guard.assert_held()
    assert marks(brief_store) == []


@pytest.mark.parametrize("owner", ["two", "one"])
async def test_a_lease_is_lost_once_any_process_claimed_again_even_the_same_one(
    async_store: AsyncStore, claim: Claim, brief_store: SqlStore, owner: str
) -> None:
    take_over(brief_store, owner)
    guard = LeaseGuard(async_store, claim, lease_seconds=60.0, requested_at=LONG_AGO)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await guard.assert_held()


async def test_of_two_writes_at_once_the_second_has_the_turn_of_the_first(
    async_store: AsyncStore, claim: Claim, brief_store: SqlStore
) -> None:
    guard, known = LeaseGuard(async_store, claim, lease_seconds=60.0, requested_at=lease_clock()), list[Turn]()

    def mark(lease: Lease, turn: Turn) -> LeasedWrite:
        known.append(turn)
        return AppendAuditEntry(lease, turn, AuditEvent.RUN_RETRIED)

    first, _ = await asyncio.gather(guard.write(partial(SetRun, run_id=RunId("run_1"))), guard.write(mark))
    assert known == [first]
    assert guard.claim.turn == brief_store.get_turn(TURN)


async def test_a_write_whose_caller_is_cancelled_does_not_hold_up_the_next_one(
    async_store: AsyncStore, claim: Claim
) -> None:
    guard = LeaseGuard(async_store, claim, lease_seconds=60.0, requested_at=lease_clock())
    given_up = asyncio.create_task(guard.write(partial(SetRun, run_id=RunId("run_1"))))
    following = asyncio.create_task(guard.write(partial(AppendAuditEntry, event=AuditEvent.RUN_RETRIED)))
    await asyncio.sleep(0)
    given_up.cancel()
    async with asyncio.timeout(10):
        turn = await following
    assert isinstance(turn, Turn)
    assert turn.run_id == "run_1"
