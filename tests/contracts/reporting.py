"""The contract of ReportingStore. Subclasses set the database."""

from __future__ import annotations

from tests.contracts.reporting_people import PersonContract
from tests.contracts.reporting_retention import RetentionContract
from tests.contracts.reporting_search import SearchingContract
from tests.contracts.reporting_usage import UsageBucketsContract


class ReportingContract(SearchingContract, UsageBucketsContract, PersonContract, RetentionContract):
    """Subclasses provide ``store``, ``reporting``, ``set_times``, and ``let_time_pass`` as in StoreContract."""
