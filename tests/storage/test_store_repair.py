"""Manual changes in the database do not block a conversation forever."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, create_engine, delete, select, update

from gateway.domain.conversations import Claim
from gateway.domain.models import TurnState
from gateway.ports.leased_writes import ReleaseLease
from storage.store import SqlStore
from storage.tables.schema import conversations, turns
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
    answer,
    apply_write,
    claim_one,
    enqueue,
    enqueue_and_claim,
    finish,
    get_turn,
)

Remove = Callable[..., None]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def remove(connection: Connection) -> Remove:
    """Deletes turns of a conversation by their seqs."""

    def remove(conversation: int, *seqs: int) -> None:
        connection.execute(delete(turns).where(turns.c.conversation_id == conversation, turns.c.seq.in_(seqs)))

    return remove


def test_claim_skips_deleted_turns(store: SqlStore, remove: Remove) -> None:
    said = [enqueue(store).turn for _ in range(4)]
    remove(said[0].conversation_id, 1, 2)
    claim = claim_one(store)
    assert (claim.turn.id, claim.first_attempt) == (said[2].id, True)
    assert store.claim("two", [PLATFORM], 10) == ()
    _, following = store.apply_writes([answer(claim), finish(claim)])
    assert isinstance(following, Claim)
    assert following.turn.id == said[3].id


def test_conversation_whose_queued_turns_are_deleted_is_idle(store: SqlStore, remove: Remove) -> None:
    said = [enqueue(store).turn for _ in range(2)]
    remove(said[0].conversation_id, 1, 2)
    assert store.claim("one", [PLATFORM], 10) == []
    assert store.claim("one", [PLATFORM], 10) == ()
    assert enqueue(store, owner="one").claim is not None


def test_finishing_skips_deleted_turns(store: SqlStore, remove: Remove) -> None:
    claim = enqueue_and_claim(store)
    said = [enqueue(store).turn for _ in range(3)]
    remove(claim.conversation.id, 2, 3)
    _, following = store.apply_writes([answer(claim), finish(claim)])
    assert isinstance(following, Claim)
    assert following.turn.id == said[2].id
    assert store.apply_writes([answer(following), finish(following)])[1] is None


def test_releasing_a_lease_whose_turn_is_deleted_works(store: SqlStore, remove: Remove) -> None:
    claim = enqueue_and_claim(store)
    remove(claim.conversation.id, 1)
    assert apply_write(store, ReleaseLease(claim.lease)) is None
    assert store.claim("one", [PLATFORM], 10) == []
    assert enqueue(store, owner="one").claim is not None


def test_due_conversation_without_turns_becomes_idle(store: SqlStore, connection: Connection) -> None:
    claim = enqueue_and_claim(store)
    store.apply_writes([answer(claim), finish(claim)])
    connection.execute(update(conversations).values(next_at=1.0))
    assert store.claim("one", [PLATFORM], 10) == []
    assert store.claim("one", [PLATFORM], 10) == ()
    assert get_turn(store, claim.turn).state is TurnState.DELIVERED


def test_lease_that_its_owner_does_not_renew_expires(
    store: SqlStore, connection: Connection, expire_lease: ExpireLease
) -> None:
    """As when the result of a claim was lost on its way to the owner."""
    known, unknown = enqueue_and_claim(store, "known"), enqueue_and_claim(store, "unknown")
    for claim in (known, unknown):
        expire_lease(claim.conversation.id)
    assert store.renew_leases("one", conversation_ids={known.conversation.id}).held_conversations == {
        known.conversation.id
    }
    assert claim_one(store, "two").turn.id == unknown.turn.id
    assert store.renew_leases("one", conversation_ids=()).held_conversations == frozenset()


def test_lease_has_the_configured_duration(database_url: str, connection: Connection) -> None:
    brief = SqlStore(database_url, lease_seconds=7.5)
    claim = enqueue_and_claim(brief)
    expiry = connection.execute(select(conversations.c.next_at)).scalar_one()
    assert expiry - claim.turn.started_at == pytest.approx(7.5, abs=0.5)
    connection.execute(update(conversations).values(next_at=1.0))
    brief.renew_leases("one")
    assert connection.execute(select(conversations.c.next_at)).scalar_one() >= expiry
    brief.close()
