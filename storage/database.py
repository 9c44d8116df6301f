"""One database: its connections, transactions and errors.

A process holds at most ``pool_size`` connections (10 unless the URL says otherwise), opened as needed, and one more
for LISTEN on PostgreSQL.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.domain.errors import SettingsError, StoreUnavailable
from storage.database_url import file_of, read_url
from storage.error_map import BUSY, FAULTS, driver_error, unavailable

if TYPE_CHECKING:  # not loaded on SQLite, to save time
    import psycopg

PATIENCE_SECONDS: Final = 10.0
"""How long a transaction waits for a connection, and how long for a lock."""

SQLITE_SINCE: Final = (3, 35, 0)
"""The first version with RETURNING."""

PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)

POSTGRESQL: Final = {
    "application_name": "chat-gateway",
    "connect_timeout": "10",
    # A dead peer is detected within a minute, also during a statement.
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

LIMITS: Final = {
    # A process suspended inside a transaction would hold its locks forever.
    "idle_in_transaction_session_timeout": 10_000,
    "lock_timeout": int(PATIENCE_SECONDS * 1000),
    "statement_timeout": 30_000,
}
"""Milliseconds."""

NO_LIMITS: Final = dict.fromkeys(LIMITS, 0)
"""Disables them, including the server's defaults."""

LISTENING: Final = {
    "autocommit": True,
    # Stopping to listen waits for the connection attempt, so for about this long at most.
    "connect_timeout": "3",
}

QUIET_SECONDS: Final = 1.0
"""A connection used within this time is assumed to be alive; one idle for longer is pinged first."""

READING: Final = {"reading": True}


class Database:
    """Transactions on one database, from any thread. Connects at the first one."""

    def __init__(self, url: str, *, limits: bool = True) -> None:
        """Raises SettingsError. Without ``timeouts`` a statement may take any time."""
        parsed, size = read_url(url)
        self.kind = parsed.get_backend_name()
        self._file = file_of(parsed)
        self._url = parsed
        if self.kind == "sqlite":
            self._engine = _sqlite(parsed, size)
            self._reads: Engine = self._engine.execution_options(**READING)
            self._single = self._engine
            self._turnstile: AbstractContextManager[None] = _Turnstile()
        else:
            self._connect_args = _connect_args(parsed, LIMITS if limits else NO_LIMITS)
            self._engine = _postgresql(parsed, size, self._connect_args)
            self._reads = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            self._single = self._reads
            self._turnstile = nullcontext()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Opens a transaction that is committed at the end of the block. Raises StoreUnavailable."""
        with _translated(), self._turnstile, self._engine.connect() as connection:
            yield connection
            connection.commit()

    @contextmanager
    def writing_once(self) -> Iterator[Connection]:
        """Opens a connection for a single write, which saves the round trips of BEGIN and COMMIT. Raises likewise."""
        with _translated(), self._turnstile, self._single.connect() as connection:
            yield connection
            connection.commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Opens a connection without a transaction: each statement sees what is committed then. Raises likewise."""
        with _translated(), self._reads.connect() as connection:
            yield connection

    def listening(self) -> psycopg.Connection:
        """Opens a connection outside of the pool, in autocommit mode. PostgreSQL only. Raises the driver's errors."""
        dialect = self._engine.dialect
        positional, named = dialect.create_connect_args(self._url)
        connection: psycopg.Connection = dialect.loaded_dbapi.connect(
            *positional, **{**self._connect_args, **LISTENING, **named, "options": self._connect_args["options"]}
        )
        return connection

    def exists(self) -> bool:
        """Returns whether an SQLite file exists; always True for a server, which reports it on connecting."""
        return self._file is None or self._file.is_file()

    def close(self) -> None:
        self._engine.dispose()


class _Turnstile:
    """Admits one writer of this process at a time to SQLite, which itself waits by sleeping and retrying."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):
            raise StoreUnavailable(BUSY)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FAULTS as exc:
        translated = unavailable(exc)
        if translated is None:
            raise
        raise translated from driver_error(exc)


# ---------------------------------------------------------------- engines


def _sqlite(url: URL, size: int) -> Engine:
    if sqlite3.sqlite_version_info < SQLITE_SINCE:
        raise SettingsError(f"This Python has SQLite {sqlite3.sqlite_version}; the gateway needs 3.35 or newer.")
    # Without an isolation level the driver does not begin transactions by itself: see _begin_immediate.
    options = {"timeout": PATIENCE_SECONDS, "isolation_level": None}
    engine = _engine(url, size, connect_args=options)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _connect_args(url: URL, limits: dict[str, int]) -> dict[str, str]:
    settings = " ".join(f"-c {name}={value}" for name, value in limits.items())
    options = {name: value for name, value in POSTGRESQL.items() if name not in url.query}
    # The operator's options come last, so they take precedence.
    return options | {"options": f"{settings} {url.query.get('options', '')}".strip()}


def _postgresql(url: URL, size: int, connect_args: dict[str, str]) -> Engine:
    engine = _engine(url, size, connect_args=connect_args, isolation_level="READ COMMITTED")
    event.listen(engine, "checkin", _note_time)
    event.listen(engine, "checkout", _ask_the_quiet(engine))
    return engine


def _engine(url: URL, size: int, **options: Any) -> Engine:
    return create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=PATIENCE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,  # they contain message text
        **options,
    )


def _set_pragmas(connection: Any, _: ConnectionPoolEntry) -> None:
    for pragma in PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail at the write; BEGIN IMMEDIATE waits at the start instead.
    if not connection.get_execution_options().get("reading"):
        # Directly by the driver: this runs for every message, and SQLAlchemy would only add overhead.
        connection.connection.cursor().execute("BEGIN IMMEDIATE")


def _note_time(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _ask_the_quiet(engine: Engine) -> Any:
    def ask(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - entry.info.get("used", time.monotonic()) < QUIET_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as exc:
            raise InvalidatePoolError from exc

    return ask
