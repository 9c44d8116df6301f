"""The contract of ReportingStore. Subclasses set the database."""

from __future__ import annotations

from tests.contracts.reporting_people import PeopleContract
from tests.contracts.reporting_retention import ClearingContract
from tests.contracts.reporting_search import SearchingContract
from tests.contracts.reporting_usage import CountingContract


class CatalogueContract(SearchingContract, CountingContract, PeopleContract, ClearingContract):
    """Subclasses provide ``store``, ``reporting``, ``set_times``, and ``let_time_pass`` as in StoreContract."""
