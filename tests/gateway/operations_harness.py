"""What operators are tested with: a database with all its sockets, and an assistant that deletes threads."""

from __future__ import annotations

from gateway.domain.errors import Unavailable
from gateway.domain.models import ThreadId
from storage.reporting import SqlCatalogue
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant


class SqlBooks(SqlStore, SqlCatalogue):
    """Both sockets on one database."""


class PigeonAssistant(FakeAssistant):
    """Opened every thread, and may be out of reach for some."""

    def __init__(self) -> None:
        super().__init__("pigeons")
        self.unreachable: set[ThreadId] = set()
        self.deleted: list[ThreadId] = []

    async def forget(self, thread: ThreadId) -> None:
        if thread in self.unreachable:
            raise Unavailable("the loft is closed")
        self.deleted.append(thread)
