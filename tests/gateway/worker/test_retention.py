"""Tests of the retention: old turns are erased, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.worker.upkeep.retention import apply_retention
from storage.store import SqlStore
from storage.tables.schema import turns, unparsed_updates
from tests.contracts.reporting_helpers import answered_turn
from tests.contracts.store_helpers import get_turn
from tests.contracts.unparsed_updates import unparsed


class SmallBatches(SqlStore):
    """Erases two turns per batch, and counts the purges."""

    tidied = 0

    def erase_older_than(self, age_seconds: float, *, limit: int = 2) -> int:
        return super().erase_older_than(age_seconds, limit=limit)

    def purge_expired(self) -> None:
        self.tidied += 1
        super().purge_expired()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[SmallBatches]:
    """A store with five turns that are ten days old."""
    store = SmallBatches(sqlite_url)
    for _ in range(5):
        answered_turn(store)
    with store._database.transaction() as connection:
        connection.execute(turns.update().values(received_at=store.now() - 10 * 86_400))
    yield store
    store.close()


def test_only_turns_older_than_the_retention_are_erased(store: SmallBatches) -> None:
    new = answered_turn(store)
    assert apply_retention(store, store.unparsed_updates, 30.0) == 0
    assert apply_retention(store, store.unparsed_updates, 9.5) == 5
    assert apply_retention(store, store.unparsed_updates, 9.5) == 0
    assert get_turn(store, new) == new
    assert store.tidied == 3


def test_without_a_retention_only_expired_rows_are_purged(store: SmallBatches) -> None:
    assert apply_retention(store, store.unparsed_updates, 0) == 0
    assert store.tidied == 1


def test_a_call_that_may_not_continue_leaves_the_rest_to_the_next(store: SmallBatches) -> None:
    answers = iter([True, False])
    assert apply_retention(store, store.unparsed_updates, 1, lambda: next(answers)) == 4
    assert apply_retention(store, store.unparsed_updates, 1) == 1


def test_unparsed_updates_are_deleted_at_the_same_age(store: SmallBatches) -> None:
    store.unparsed_updates.keep(unparsed("old"))
    with store._database.transaction() as connection:
        connection.execute(unparsed_updates.update().values(received_at=store.now() - 10 * 86_400))
    store.unparsed_updates.keep(unparsed("new"))
    for days, left in ((0, 2), (10.5, 2), (9.5, 1)):
        apply_retention(store, store.unparsed_updates, days)
        assert store.unparsed_updates.count("pigeon").count == left
