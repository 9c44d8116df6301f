"""Both databases fulfil the contracts of what operators look at: people, blocks, audit trail, feedback, budgets."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, update

from gateway.domain.models import Turn
from storage.tables.schema import turns
from tests.contracts.audit_trail import AuditTrailContract
from tests.contracts.feedback import BudgetReportContract, FeedbackReportContract
from tests.contracts.people import BlocksContract, PeopleContract
from tests.contracts.reporting_helpers import SetTimes
from tests.storage.one_database import OneDatabaseForStores


class OperatorsContract(
    OneDatabaseForStores,
    PeopleContract,
    BlocksContract,
    AuditTrailContract,
    FeedbackReportContract,
    BudgetReportContract,
):
    @pytest.fixture
    def set_times(self, engine: Engine) -> SetTimes:
        def set_times(turn: Turn, at: float, took: float = 1.0) -> None:
            times = {"received_at": at, "answered_at": at + took}
            with engine.begin() as connection:
                connection.execute(update(turns).where(turns.c.id == turn.id).values(times))

        return set_times


class TestSqliteOperators(OperatorsContract):
    url_fixture = "sqlite_module_url"


class TestPostgresOperators(OperatorsContract):
    url_fixture = "postgres_url"
