"""What every catalogue must do. Subclass, say which database, and the promises of gateway.catalogue are checked."""

from __future__ import annotations

from tests.contracts.catalogue_clearing import ClearingContract
from tests.contracts.catalogue_counting import CountingContract
from tests.contracts.catalogue_people import PeopleContract
from tests.contracts.catalogue_searching import SearchingContract


class CatalogueContract(SearchingContract, CountingContract, PeopleContract, ClearingContract):
    """Subclasses give ``store`` and ``catalogue``, ``happened``, and ``elapse`` as a store's contract wants it."""
