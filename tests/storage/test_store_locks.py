"""Rows are locked between loading and saving the writes of a lease holder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from gateway.domain.models import ThreadId, Turn, TurnState
from storage import new_turns
from storage.store import SqlStore
from storage.writes.leased_writes import LeasedWriteBatch
from tests import postgres
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
    answer,
    claim_one,
    enqueue_and_claim,
    enqueue_one,
    key,
    message,
    new_turn,
)

A_MOMENT = 0.2
Aside = Callable[[Callable[[], object]], "Future[object]"]


@pytest.fixture
def aside() -> Iterator[Aside]:
    """Runs a function in another thread."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def waits(work: Future[object]) -> bool:
    return bool(wait([work], A_MOMENT).not_done)


def test_a_cancel_waits_for_the_reply_that_is_being_stored(store: SqlStore, peer: SqlStore, aside: Aside) -> None:
    claim = enqueue_and_claim(store)
    with store._database.transaction() as connection:
        batch = LeasedWriteBatch.lock(connection, [answer(claim)], 15.0)
        cancel = aside(lambda: peer.cancel_turn(claim.turn.id))
        assert waits(cancel)
        batch.apply(answer(claim))
        batch.save()
    turn = cancel.result()
    assert isinstance(turn, Turn)
    assert turn.state is TurnState.ANSWERED


def test_second_enqueue_waits_for_the_first(store: SqlStore, peer: SqlStore, aside: Aside) -> None:
    with store._database.transaction() as connection:
        slot = store.turn_queue._reserve_slot(connection, message())
        second = aside(lambda: enqueue_one(peer, message(), new_turn()).turn.seq)
        assert waits(second)
        turn = new_turns.new_turn(new_turn(), message(), slot, None, "", "default")
        first = store.turn_queue._insert_turn(connection, turn, slot)
    assert (first.turn.seq, second.result()) == (1, 2)


class TestPostgresqlLocks:
    """Not for SQLite, which has one writer at a time."""

    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        postgres.delete_all_rows(postgres_url)
        return postgres_url

    def test_locked_conversation_is_not_claimed(
        self, store: SqlStore, peer: SqlStore, expire_lease: ExpireLease
    ) -> None:
        claim = enqueue_and_claim(store)
        expire_lease(claim.conversation.id)
        with store._database.transaction() as connection:
            LeasedWriteBatch.lock(connection, [answer(claim)], 15.0)
            assert peer.claim("two", [PLATFORM], 10) == ()
        assert claim_one(peer, "two").turn.id == claim.turn.id

    def test_claim_skips_rows_locked_by_another_claim(self, store: SqlStore, peer: SqlStore) -> None:
        turns = [enqueue_one(store, message(channel), new_turn()).turn for channel in "ab"]
        with store._database.transaction() as connection:
            lock = f"SELECT 1 FROM conversations WHERE id = {turns[0].conversation_id} FOR UPDATE"
            connection.exec_driver_sql(lock)
            assert [claim.turn.id for claim in peer.claim("two", [PLATFORM], 10)] == [turns[1].id]

    def test_second_import_of_a_thread_waits_for_the_first(self, store: SqlStore, peer: SqlStore, aside: Aside) -> None:
        thread = ThreadId("thread_1")
        with store._database.transaction() as connection:
            connection.exec_driver_sql(
                "SELECT pg_advisory_xact_lock(hashtextextended(%(thread)s, 0))", {"thread": thread}
            )
            adopted = aside(lambda: peer.import_thread(key("two"), thread, "x", []))
            assert waits(adopted)
            first = store.turn_queue._insert_imported(connection, key("one"), {"thread_id": thread}, [])
        assert first is not None
        assert adopted.result() == first
