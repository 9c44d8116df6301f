"""Both databases fulfil the contract of BudgetStore."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.budgets import SqlLedger
from storage.database import Database
from storage.store import SqlStore
from tests import postgres
from tests.contracts.budgets import LedgerContract
from tests.contracts.budgets_state_machine import SpendingContract


@pytest.fixture
def budget_store(database_url: str) -> Iterator[SqlLedger]:
    database = Database(database_url)
    yield SqlLedger(database)
    database.close()


@pytest.fixture
def peer(database_url: str) -> Iterator[SqlLedger]:
    database = Database(database_url)
    yield SqlLedger(database)
    database.close()


@pytest.fixture
def reporting(store: SqlStore) -> SqlStore:
    return store


class TestSqliteLedger(LedgerContract, SpendingContract):
    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url


class TestPostgresLedger(LedgerContract, SpendingContract):
    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        postgres.empty(postgres_url)
        return postgres_url
