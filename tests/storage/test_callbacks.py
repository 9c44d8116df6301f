"""Both databases fulfil the contract of Callbacks."""

from __future__ import annotations

from tests.contracts.callbacks import CallbacksContract, turn
from tests.storage.one_database import OneDatabaseForStores

__all__ = ["turn"]
"""A fixture of the contract."""


class TestSqliteCallbacks(OneDatabaseForStores, CallbacksContract):
    url_fixture = "sqlite_module_url"


class TestPostgresCallbacks(OneDatabaseForStores, CallbacksContract):
    url_fixture = "postgres_url"
