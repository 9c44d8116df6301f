"""Both databases fulfil the contract of BudgetStore."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.budgets import SqlBudgetStore
from storage.database import Database
from storage.store import SqlStore
from tests import postgres
from tests.contracts.budgets import BudgetStoreContract
from tests.contracts.budgets_state_machine import BudgetScheduleContract


@pytest.fixture
def budget_store(database_url: str) -> Iterator[SqlBudgetStore]:
    database = Database(database_url)
    yield SqlBudgetStore(database)
    database.close()


@pytest.fixture
def peer(database_url: str) -> Iterator[SqlBudgetStore]:
    database = Database(database_url)
    yield SqlBudgetStore(database)
    database.close()


@pytest.fixture
def reporting(store: SqlStore) -> SqlStore:
    return store


class TestSqliteBudgets(BudgetStoreContract, BudgetScheduleContract):
    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url


class TestPostgresBudgets(BudgetStoreContract, BudgetScheduleContract):
    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        postgres.delete_all_rows(postgres_url)
        return postgres_url
