"""Database fixtures for all tests, and what makes a run of all of them quick."""

from __future__ import annotations

import gc
import logging
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog

from gateway import logs
from storage.migrations import upgrade
from storage.store import SqlStore
from tests import postgres
from tests.examples import register_profiles
from tests.long import mark_long
from tests.shares import order_by_share

register_profiles()

# By default, structlog draws each exception with the values of all local variables, which takes a second.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)


# A logger that a test has used must obey the configuration of the next.
logs.KEEPS_LOGGERS = False


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_long(items)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = order_by_share(items, workers)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Lets the garbage collector skip what lives as long as the run: all modules, and all tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restores the global state of logging."""
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, logs.WARNING_LOGGERS))}
    before = structlog.get_config()
    yield
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, logs._StandardLoggingHandler)]
    for logger, level in levels.items():
        if logger.level != level:  # setting it makes every logger that there is forget what it has found out
            logger.setLevel(level)
    structlog.configure(**before)
    logs._masker.configure([])
    logs.tap_turns(None)


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    """Lets Ctrl-C through again, to later tests and the processes that they start, after a command has blocked it."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.fixture(scope="session")
def postgres_sockets(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The socket folder of the PostgreSQL server shared by all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    with postgres.shared_server(own if worker_id == "master" else own.parent) as sockets:
        yield sockets


@pytest.fixture(scope="session")
def own_postgres_url(postgres_sockets: str) -> str:
    """URL of the PostgreSQL database of this worker, with our tables: making one takes longer than most tests."""
    url = postgres.new_database(postgres_sockets)
    upgrade(url)
    return url


@pytest.fixture(scope="module")
def postgres_url(own_postgres_url: str) -> str:
    """URL of a PostgreSQL database with our tables, which this module finds empty; rows stay from test to test."""
    postgres.delete_all_rows(own_postgres_url)
    return own_postgres_url


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def sqlite_module_url(empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of an SQLite database for this module, with our tables; rows stay from test to test."""
    return f"sqlite:///{shutil.copy(empty_sqlite, tmp_path_factory.mktemp('sqlite') / 'module.db')}"


@pytest.fixture
def sqlite_url(empty_sqlite: Path, tmp_path: Path) -> str:
    """URL of an SQLite database for this test, with our tables."""
    return f"sqlite:///{shutil.copy(empty_sqlite, tmp_path / 'gateway.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an SQLite and of a PostgreSQL database in turn, with our tables and no rows."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    if request.param == "postgresql":
        postgres.delete_all_rows(url)
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    store = SqlStore(database_url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[SqlStore]:
    store = SqlStore(sqlite_url)
    yield store
    store.close()
