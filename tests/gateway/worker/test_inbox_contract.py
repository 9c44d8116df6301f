"""The real core, with engine and store, as adapters see it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import pytest

from gateway.coordination.async_store import Journal
from gateway.coordination.backpressure import Pressure
from gateway.coordination.rate_limiter import Limits
from gateway.domain.models import Exchange, ThreadId
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.worker.assistant_runner import Conversations
from gateway.worker.delivery_context import CoreOutbox
from gateway.worker.inbox import CoreInbox
from gateway.worker.turn_processor import Working
from gateway.worker.worker import Engine
from storage.store import SqlStore
from tests.contracts.inbox import InboxContract
from tests.fakes.assistant import FakeAssistant, FakeThread
from tests.fakes.platform import FakePlatform
from tests.gateway.worker_process import open_gate


class _Wait(asyncio.Event):
    """Waits on the loop for a thread's event."""

    def __init__(self, opened: threading.Event) -> None:
        super().__init__()
        self._opened = opened

    async def wait(self) -> Literal[True]:
        while not self._opened.is_set():  # noqa: ASYNC110  # the other side is a thread
            await asyncio.sleep(0.002)
        return True


class TestCoreInbox(InboxContract):
    @pytest.fixture(autouse=True)
    def core(self, sqlite_store: SqlStore) -> Iterator[None]:
        self.platform, self.assistant = FakePlatform(), FakeAssistant()
        with ThreadPoolExecutor(4) as executor:
            journal, metrics, tracing = Journal(sqlite_store, executor), Metrics(), Tracing.off()
            conversations = Conversations(journal, self.assistant, metrics, timeout=30.0)
            outbox_of = partial(CoreOutbox, journal, Limits(journal, shared=False), self.assistant)
            platforms = {self.platform.name: self.platform}
            gate = open_gate(sqlite_store, journal)
            working = Working(journal, conversations, platforms, outbox_of, gate, metrics, tracing)
            engine = Engine(journal, working, tuple(platforms), metrics, owner="one", room=50, lease_seconds=5.0)
            engine.start()
            pressure = Pressure(most=1000, most_of_one=1000)
            self.inbox = CoreInbox(sqlite_store, self.assistant, engine, gate, pressure, metrics, tracing, backlog=100)
            yield
            engine.finish(10.0)
            engine.stop()

    def hold(self) -> threading.Event:
        opened = threading.Event()
        self.assistant.think = lambda _: _Wait(opened)
        return opened

    def know(self, thread: ThreadId, past: Exchange) -> None:
        self.assistant.threads[thread] = FakeThread(remembers=[past])
