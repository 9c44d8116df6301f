"""One database for all tests of a module, on which stores stay open: opening one takes longer than most tests."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache

import pytest
from sqlalchemy import Engine, create_engine

from storage.budgets import SqlBudgetStore
from storage.connecting.database import Database
from storage.reporting import SqlReportingStore
from storage.store import SqlStore
from tests import postgres

LEASE_SECONDS = 60.0
"""The longest lease, as long as a test may take: leases end when a test says so, not because the machine is slow."""


class OpenDatabases:
    """Opens each of what it is asked for once. ``number``: 0, and 1 for what stands for a second process."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self.engine = cache(self._engine)
        self.store = cache(self._store)
        self.database = cache(self._database)
        self.close = self._resources.close

    def _engine(self, url: str) -> Engine:
        engine = create_engine(url)
        self._resources.callback(engine.dispose)
        return engine

    def _store(self, url: str, number: int) -> SqlStore:
        store = SqlStore(url, lease_seconds=LEASE_SECONDS)
        self._resources.callback(store.close)
        return store

    def _database(self, url: str, number: int) -> Database:
        database = Database(url)
        self._resources.callback(database.close)
        return database


class OneDatabase:
    """Fixtures of a contract, of which each test begins without rows."""

    url_fixture: str
    """The fixture that has the URL, for the whole module."""

    @pytest.fixture
    def database_url(self, request: pytest.FixtureRequest, opened: OpenDatabases) -> str:
        url: str = request.getfixturevalue(self.url_fixture)
        postgres.delete_rows(opened.engine(url))
        return url

    @pytest.fixture
    def engine(self, opened: OpenDatabases, database_url: str) -> Engine:
        return opened.engine(database_url)

    @pytest.fixture
    def store(self, opened: OpenDatabases, database_url: str) -> SqlStore:
        return opened.store(database_url, 0)


class OneDatabaseForStores(OneDatabase):
    """For tests of Store."""

    @pytest.fixture
    def peer(self, opened: OpenDatabases, database_url: str) -> SqlStore:
        return opened.store(database_url, 1)


class OneDatabaseForReporting(OneDatabase):
    """For tests of ReportingStore."""

    @pytest.fixture
    def reporting(self, opened: OpenDatabases, database_url: str) -> SqlReportingStore:
        return SqlReportingStore(opened.database(database_url, 0))


class OneDatabaseForBudgets(OneDatabase):
    """For tests of BudgetStore."""

    @pytest.fixture
    def budget_store(self, opened: OpenDatabases, database_url: str) -> SqlBudgetStore:
        return SqlBudgetStore(opened.database(database_url, 0))

    @pytest.fixture
    def peer(self, opened: OpenDatabases, database_url: str) -> SqlBudgetStore:
        return SqlBudgetStore(opened.database(database_url, 1))
