"""The contract of ReportingStore. Subclasses set the database."""

from __future__ import annotations

from tests.contracts.catalogue_clearing import ClearingContract
from tests.contracts.catalogue_counting import CountingContract
from tests.contracts.catalogue_people import PeopleContract
from tests.contracts.catalogue_searching import SearchingContract


class CatalogueContract(SearchingContract, CountingContract, PeopleContract, ClearingContract):
    """Subclasses provide ``store``, ``reporting``, ``set_times``, and ``let_time_pass`` as in StoreContract."""
