"""Both databases fulfil the contract of Store."""

from __future__ import annotations

from tests.contracts.store import StoreContract
from tests.storage.one_database import OneDatabaseForStores


class TestSqliteStore(OneDatabaseForStores, StoreContract):
    url_fixture = "sqlite_module_url"


class TestPostgresStore(OneDatabaseForStores, StoreContract):
    url_fixture = "postgres_url"
