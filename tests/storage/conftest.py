"""A store of a second process, and control over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, update

from storage.schema import conversations, leases, limits
from storage.store import SqlStore


@pytest.fixture
def peer(database_url: str) -> Iterator[SqlStore]:
    store = SqlStore(database_url)
    yield store
    store.close()


@pytest.fixture
def expire_lease(database_url: str) -> Iterator[Callable[[int], None]]:
    engine = create_engine(database_url)

    def expire_lease(conversation: int) -> None:
        with engine.begin() as connection:
            due = conversations.c.id == conversation, conversations.c.next_at.is_not(None)
            connection.execute(update(conversations).where(*due).values(next_at=1.0))

    yield expire_lease
    engine.dispose()


@pytest.fixture
def let_time_pass(database_url: str) -> Iterator[Callable[[float], None]]:
    engine = create_engine(database_url)

    def let_time_pass(seconds: float) -> None:
        with engine.begin() as connection:
            connection.execute(update(limits).values(at=limits.c.at - seconds))
            connection.execute(update(leases).values(until=leases.c.until - seconds))

    yield let_time_pass
    engine.dispose()
