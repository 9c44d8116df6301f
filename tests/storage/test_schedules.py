"""Both databases fulfil the contract of Schedules."""

from __future__ import annotations

from tests.contracts.schedules import SchedulesContract
from tests.storage.one_database import OneDatabaseForStores


class TestSqliteSchedules(OneDatabaseForStores, SchedulesContract):
    url_fixture = "sqlite_module_url"


class TestPostgresSchedules(OneDatabaseForStores, SchedulesContract):
    url_fixture = "postgres_url"
