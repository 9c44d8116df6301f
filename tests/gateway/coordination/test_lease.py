"""What a process may still do after it stood still: nothing that somebody else does already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.coordination.async_store import Journal
from gateway.coordination.lease import Grip, now
from gateway.domain.errors import LeaseLost
from gateway.domain.models import Claim, ConversationKey, Mark, Message, TurnId
from storage.store import SqlStore

LONG_AGO = now() - 3600.0
TURN = TurnId("turn_1")


@pytest.fixture
def journal(brief_store: SqlStore) -> Iterator[Journal]:
    with ThreadPoolExecutor(1) as executor:
        yield Journal(brief_store, executor)


@pytest.fixture
def claim(brief_store: SqlStore) -> Claim:
    recorded = brief_store.record(Message(ConversationKey("fake", channel="c"), "1", "hello"), TURN, owner="one")
    assert recorded.claim is not None
    return recorded.claim


def take_over(store: SqlStore, owner: str) -> None:
    """Once the lease has run out."""
    deadline = time.monotonic() + 20.0
    while not store.claim(owner, ["fake"], 1):
        assert time.monotonic() < deadline


def marks(store: SqlStore) -> list[tuple[Mark, str]]:
    turn = store.turn(TURN)
    assert turn is not None
    return [(step.mark, step.detail) for step in turn.trail if step.mark is Mark.WENT_ON]


async def test_within_a_lease_the_database_is_not_asked(journal: Journal, claim: Claim, brief_store: SqlStore) -> None:
    brief_store.close()
    await Grip(journal, claim, seconds=60.0, since=now()).ensure()
    assert marks(brief_store) == []


async def test_who_stood_still_goes_on_when_nobody_took_over(
    journal: Journal, claim: Claim, brief_store: SqlStore
) -> None:
    grip = Grip(journal, claim, seconds=60.0, since=LONG_AGO)
    await grip.ensure()
    await grip.ensure()
    assert marks(brief_store) == [(Mark.WENT_ON, "one")]


async def test_a_renewal_is_as_good_as_a_claim(journal: Journal, claim: Claim, brief_store: SqlStore) -> None:
    grip = Grip(journal, claim, seconds=60.0, since=LONG_AGO)
    grip.extend(now())
    await grip.ensure()
    assert marks(brief_store) == []


@pytest.mark.parametrize("owner", ["two", "one"])
async def test_who_stood_still_may_do_nothing_more_once_somebody_took_over_be_it_itself(
    journal: Journal, claim: Claim, brief_store: SqlStore, owner: str
) -> None:
    take_over(brief_store, owner)
    grip = Grip(journal, claim, seconds=60.0, since=LONG_AGO)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await grip.ensure()
