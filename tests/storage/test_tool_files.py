"""Files of tools are stored once, with their turn, and go when its content does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, update

from gateway.domain.files import File
from gateway.domain.models import Turn
from storage.store import SqlStore
from storage.tables.schema import tool_files
from tests.contracts.reporting_helpers import answered_turn
from tests.storage.one_database import OneDatabase

PNG = File("chart.png", "tool 1", "image/png", 3)


class ToolFilesContract(OneDatabase):
    @pytest.fixture
    def store(self, database_url: str) -> Iterator[SqlStore]:
        store = SqlStore(database_url)
        yield store
        store.close()

    @pytest.fixture
    def turn(self, store: SqlStore) -> Turn:
        turn = answered_turn(store, "0", author="Ada")
        for content in (b"\0\1\2", b"another"):
            store.tool_files.keep(turn.id, PNG, content)
        return turn

    def test_a_file_is_stored_once_and_read(self, store: SqlStore, turn: Turn) -> None:
        assert store.tool_files.of_turn(turn.id) == [PNG]
        assert store.tool_files.content("tool 1") == b"\0\1\2"
        assert store.tool_files.content("tool 2") is None

    def test_files_go_with_the_content_of_their_author(self, store: SqlStore, turn: Turn) -> None:
        conversation = store.find_conversation(turn.message.key)
        assert conversation is not None
        store.erase_author(conversation, "Ada")
        assert store.tool_files.of_turn(turn.id) == []
        store.tool_files.keep(turn.id, PNG, b"late")
        assert store.tool_files.of_turn(turn.id) == []

    def test_files_go_with_old_turns_and_by_themselves(self, store: SqlStore, turn: Turn, engine: Engine) -> None:
        store.purge_expired()
        assert store.tool_files.of_turn(turn.id) == [PNG]
        with engine.begin() as connection:
            connection.execute(update(tool_files).values(kept_at=tool_files.c.kept_at - 8 * 86_400))
        store.purge_expired()
        assert store.tool_files.of_turn(turn.id) == []
        store.tool_files.keep(turn.id, PNG, b"\0")
        store.erase_older_than(-10.0)
        assert store.tool_files.of_turn(turn.id) == []


class TestSqliteToolFiles(ToolFilesContract):
    url_fixture = "sqlite_module_url"


class TestPostgresToolFiles(ToolFilesContract):
    url_fixture = "postgres_url"
