"""For tests of operations: an assistant that records deleted threads."""

from __future__ import annotations

from gateway.domain.errors import AssistantUnavailable
from gateway.domain.models import ThreadId
from tests.fakes.assistant import FakeAssistant


class UndeletableThreadAssistant(FakeAssistant):
    """The assistant "pigeons", which fails to delete the threads in ``unreachable``."""

    def __init__(self) -> None:
        super().__init__("pigeons")
        self.unreachable: set[ThreadId] = set()
        self.deleted: list[ThreadId] = []

    async def delete_thread(self, thread_id: ThreadId) -> None:
        if thread_id in self.unreachable:
            raise AssistantUnavailable("the backend is unreachable")
        self.deleted.append(thread_id)
