"""A store of a second process, and control over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, create_engine, update

from storage.store import SqlStore
from storage.tables.schema import conversations, leases, limits
from tests.storage.one_database import OpenDatabases


@pytest.fixture(scope="module")
def opened() -> Iterator[OpenDatabases]:
    opened = OpenDatabases()
    yield opened
    opened.close()


@pytest.fixture
def peer(database_url: str) -> Iterator[SqlStore]:
    store = SqlStore(database_url)
    yield store
    store.close()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A way to change rows past the store."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def expire_lease(database_url: str, engine: Engine) -> Callable[[int], None]:
    def expire_lease(conversation: int) -> None:
        with engine.begin() as connection:
            due = conversations.c.id == conversation, conversations.c.next_at.is_not(None)
            connection.execute(update(conversations).where(*due).values(next_at=1.0))

    return expire_lease


@pytest.fixture
def let_time_pass(database_url: str, engine: Engine) -> Callable[[float], None]:
    def let_time_pass(seconds: float) -> None:
        with engine.begin() as connection:
            connection.execute(update(limits).values(at=limits.c.at - seconds))
            connection.execute(update(leases).values(until=leases.c.until - seconds))

    return let_time_pass
