"""Fixtures for tests of the core: stores with short leases, and worker processes on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.migrations import upgrade
from storage.store import SqlStore
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess


@pytest.fixture
def brief_url(tmp_path: Path) -> str:
    """The URL of the database of ``brief_store``."""
    url = f"sqlite:///{tmp_path}/brief.db"
    upgrade(url)
    return url


@pytest.fixture
def brief_store(brief_url: str) -> Iterator[SqlStore]:
    """A store whose leases last 0.6 s: long enough to renew, short enough to wait for."""
    store = SqlStore(brief_url, lease_seconds=0.6)
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
