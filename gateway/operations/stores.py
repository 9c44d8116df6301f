"""The interface of the database that operators use."""

from __future__ import annotations

from typing import Protocol

from gateway.ports.audit_trail import AuditTrail
from gateway.ports.blocks import Blocks
from gateway.ports.people import People
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from gateway.ports.unparsed_updates import UnparsedUpdates


class AdminStore(Store, ReportingStore, Protocol):
    """The whole interface of the database."""

    @property
    def unparsed_updates(self) -> UnparsedUpdates: ...

    @property
    def people(self) -> People: ...

    @property
    def blocks(self) -> Blocks: ...

    @property
    def audit_trail(self) -> AuditTrail: ...
