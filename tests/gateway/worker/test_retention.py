"""What is old is cleared up, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.worker.retention import clear_up
from storage.schema import turns
from tests.contracts.reporting_helpers import settle
from tests.contracts.store_helpers import read
from tests.gateway.operations_harness import SqlBooks


class SmallBatches(SqlBooks):
    """Erases two turns at a time."""

    tidied = 0

    def erase_before(self, age: float, *, limit: int = 2) -> int:
        return super().erase_before(age, limit=limit)

    def tidy(self) -> None:
        self.tidied += 1
        super().tidy()


@pytest.fixture
def books(sqlite_url: str) -> Iterator[SmallBatches]:
    """Five turns of ten days ago, and one of now."""
    books = SmallBatches(sqlite_url)
    for _ in range(5):
        settle(books)
    with books._database.writing() as connection:
        connection.execute(turns.update().values(received_at=books.now() - 10 * 86_400))
    yield books
    books.close()


def test_everything_old_is_erased_and_nothing_else(books: SmallBatches) -> None:
    new = settle(books)
    assert clear_up(books, 30.0) == 0
    assert clear_up(books, 9.5) == 5
    assert clear_up(books, 9.5) == 0
    assert read(books, new) == new
    assert books.tidied == 3


def test_where_everything_is_kept_for_good_it_is_only_tidied(books: SmallBatches) -> None:
    assert clear_up(books, 0) == 0
    assert books.tidied == 1


def test_whoever_is_told_to_stop_leaves_the_rest_to_the_next(books: SmallBatches) -> None:
    answers = iter([True, False])
    assert clear_up(books, 1, lambda: next(answers)) == 4
    assert clear_up(books, 1) == 1
