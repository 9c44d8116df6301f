"""Fixtures for tests of the core: stores with short leases, and worker processes on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess


@pytest.fixture
def brief_store(sqlite_url: str) -> Iterator[SqlStore]:
    """A store whose leases last 0.6 s: long enough to renew, short enough to wait for."""
    store = SqlStore(sqlite_url, lease_seconds=0.6)
    yield store
    store.close()


@pytest.fixture
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def start(brief_store: SqlStore, assistant: FakeAssistant) -> Iterator[Start]:
    """Starts processes that share a store whose leases last 0.6 s."""
    processes: list[WorkerProcess] = []

    def begin(**options: object) -> WorkerProcess:
        processes.append(WorkerProcess(brief_store, assistant, **options))  # type: ignore[arg-type]  # passed through
        return processes[-1]

    yield begin
    for process in processes:
        process.stop()
