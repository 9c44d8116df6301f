"""The interface of the database that operators use."""

from __future__ import annotations

from typing import Protocol

from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from gateway.ports.unparsed_updates import UnparsedUpdates


class AdminStore(Store, ReportingStore, Protocol):
    """The whole interface of the database."""

    @property
    def unparsed_updates(self) -> UnparsedUpdates: ...
