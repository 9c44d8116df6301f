"""Both databases fulfil the contract of UnparsedUpdates; updates that earlier versions stored are moved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import migrations
from storage.connecting.database import Database
from storage.migrations import upgrade
from storage.store import SqlStore
from storage.unparsed_updates import SqlUnparsedUpdates
from tests import postgres
from tests.contracts.unparsed_updates import UnparsedUpdatesContract

BODY = '{"update_id": 17, "message": {"from": {"id": 42}, "text": "secret"}}'
OTHERS = {
    "telegram:123:username": "bot",
    "telegram:123:gone:-100": "removed",
    "telegram:123:gone:42": "blocked",
    "catalogue:swept": "{}",
}


@pytest.fixture
def updates(database_url: str) -> Iterator[SqlUnparsedUpdates]:
    database = Database(database_url)
    yield SqlUnparsedUpdates(database)
    database.close()


class TestSqliteUnparsedUpdates(UnparsedUpdatesContract):
    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url


class TestPostgresUnparsedUpdates(UnparsedUpdatesContract):
    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        postgres.delete_all_rows(postgres_url)
        return postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def old_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, SqlStore]]:
    """A database at revision 0004."""
    url = f"sqlite:///{tmp_path}/old.db"
    if request.param == "postgresql":
        url = postgres.new_database(request.getfixturevalue("postgres_sockets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "REVISIONS", ("0001", "0002", "0003", "0004"))
        upgrade(url)
    store = SqlStore(url)
    yield url, store
    store.close()


def test_updates_in_facts_are_moved_by_the_migration(old_store: tuple[str, SqlStore]) -> None:
    url, store = old_store
    for name, value in (OTHERS | {"telegram:123:aside:17": BODY, "telegram:123:aside:18": "{}"}).items():
        store.set_value(name, value)
    upgrade(url)
    assert [store.get_value(name) for name in OTHERS] == ["bot", None, None, "{}"]
    assert store.get_value("telegram:123:aside:17") is None
    assert store.unparsed_updates.count("telegram").count == 2
    (moved,) = store.unparsed_updates.by_author("telegram", "42")
    assert (moved.workspace, moved.update_id, moved.body) == ("123", "17", BODY)
    assert abs(moved.received_at - store.now()) < 60
    assert store.unparsed_updates.erase_author("telegram", "42") == 1


@pytest.mark.parametrize("way", ["age", "person"])
def test_updates_that_old_code_stores_after_the_migration_are_erased_too(
    old_store: tuple[str, SqlStore], way: str
) -> None:
    url, store = old_store
    upgrade(url)
    store.set_value("telegram:123:aside:17", BODY)
    assert [store.unparsed_updates.count(platform).count for platform in ("telegram", "gram")] == [1, 0]
    if way == "age":
        assert store.unparsed_updates.erase_older_than(-60.0) == 1
    else:
        assert store.unparsed_updates.erase_author("telegram", "42") == 1
    assert store.get_value("telegram:123:aside:17") is None
    assert store.unparsed_updates.count("telegram").count == 0
