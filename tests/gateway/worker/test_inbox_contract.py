"""Runs the inbox contract against the real inbox, with worker and store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.rate_limiter import RateLimiter
from gateway.coordination.shares import SharedPlaces
from gateway.domain.exchange import Exchange
from gateway.domain.models import ThreadId
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.worker.accepting.inbox import StoreInbox
from gateway.worker.accepting.thread_inbox import ThreadInbox
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from gateway.worker.turns.turn_processor import TurnProcessor
from gateway.worker.worker import Worker
from storage.store import SqlStore
from tests.contracts.inbox import InboxContract
from tests.fakes.assistant import FakeAssistant, FakeThread
from tests.fakes.platform import FakePlatform
from tests.gateway.one_assistant import one_assistant
from tests.gateway.worker_process import open_admission
from tests.waiting import ThreadEvent


class TestCoreInbox(InboxContract):
    @pytest.fixture(autouse=True)
    def core(self, sqlite_store: SqlStore) -> Iterator[None]:
        self.platform, self.assistant = FakePlatform(), FakeAssistant()
        with ThreadPoolExecutor(4) as executor:
            async_store, metrics, tracing = AsyncStore(sqlite_store, executor), Metrics(), Tracing.disabled()
            assistants = one_assistant(self.assistant, AssistantRunner(async_store, self.assistant, metrics))
            spool, limiter = FileSpool(), RateLimiter(async_store, shared=False)
            delivery_context_of = partial(WorkerDeliveryContext, limiter, assistants, spool)
            platforms = {self.platform.name: self.platform}
            gatekeeper = open_admission(sqlite_store, async_store)
            processor = TurnProcessor(
                async_store, assistants, platforms, delivery_context_of, gatekeeper, metrics, tracing, spool
            )
            worker = Worker(
                *(async_store, processor, tuple(platforms), metrics),
                owner="one",
                places=SharedPlaces(50, 1.0),
                lease_seconds=5.0,
            )
            worker.start()
            backpressure = Backpressure(max_total=1000, max_per_platform=1000)
            inbox = StoreInbox(
                *(async_store, assistants, worker, gatekeeper, backpressure, metrics, tracing, spool), max_backlog=100
            )
            self.inbox = ThreadInbox(inbox, worker)
            yield
            worker.finish(10.0)
            worker.stop()

    def hold(self) -> threading.Event:
        opened = threading.Event()
        self.assistant.think = lambda _: ThreadEvent(opened)
        return opened

    def add_backend_thread(self, thread: ThreadId, past: Exchange) -> None:
        self.assistant.threads[thread] = FakeThread(history=[past])
