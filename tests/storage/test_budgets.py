"""Both databases fulfil the contract of BudgetStore."""

from __future__ import annotations

import pytest

from storage.store import SqlStore
from tests.contracts.budgets import BudgetStoreContract
from tests.contracts.budgets_state_machine import RandomBudgetOrderContract
from tests.storage.one_database import OneDatabaseForBudgets


@pytest.fixture
def reporting(store: SqlStore) -> SqlStore:
    return store


class TestSqliteBudgets(OneDatabaseForBudgets, BudgetStoreContract, RandomBudgetOrderContract):
    url_fixture = "sqlite_module_url"


class TestPostgresBudgets(OneDatabaseForBudgets, BudgetStoreContract, RandomBudgetOrderContract):
    url_fixture = "postgres_url"
