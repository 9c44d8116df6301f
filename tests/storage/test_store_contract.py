"""Both databases fulfil the contract of Store."""

from __future__ import annotations

import pytest

from tests import postgres
from tests.contracts.store import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        postgres.delete_all_rows(postgres_url)
        return postgres_url
