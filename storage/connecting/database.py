"""One database: its connections, transactions and errors.

A process holds at most ``pool_size`` connections (10 unless the URL says otherwise), opened as needed, and one more
for LISTEN on PostgreSQL; of an SQLite file also as many for reading as there are reads at once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.domain.errors import SettingsError, StoreUnavailable
from gateway.domain.extras import imports_of_extra
from storage.connecting.database_url import describe, file_of, read_url
from storage.connecting.error_map import BUSY, DATABASE_ERRORS, FULL, driver_error, to_store_error

if TYPE_CHECKING:  # not loaded on SQLite, to save time
    import psycopg

WAIT_SECONDS: Final = 10.0
"""How long a transaction waits for a connection, and how long for a lock."""

SQLITE_MIN_VERSION: Final = (3, 35, 0)
"""The first version with RETURNING."""

PRIVATE: Final = 0o600
"""The mode of a new file."""

MIN_FREE_BYTES: Final = 16 * 1024 * 1024
"""Of the disk of an SQLite file; with less it counts as full, before writes fail."""

FULL_SECONDS: Final = 30.0
"""For which the disk counts as full after a write has met it so: only a write can tell."""

PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
)

POSTGRESQL_OPTIONS: Final = {
    "application_name": "chat-gateway",
    "connect_timeout": "10",
    # A dead peer is detected within a minute, also during a statement.
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

POSTGRESQL_TIMEOUTS: Final = {
    # A process suspended inside a transaction would hold its locks forever.
    "idle_in_transaction_session_timeout": 10_000,
    "lock_timeout": int(WAIT_SECONDS * 1000),
    "statement_timeout": 30_000,
}
"""Milliseconds."""

NO_TIMEOUTS: Final = dict.fromkeys(POSTGRESQL_TIMEOUTS, 0)
"""Disables them, including the server's defaults."""

LISTEN_OPTIONS: Final = {
    "autocommit": True,
    # Stopping to listen waits for the connection attempt, so for about this long at most.
    "connect_timeout": "3",
}

PING_AFTER_SECONDS: Final = 1.0
"""A connection used within this time is assumed to be alive; one idle for longer is pinged first."""


class Database:
    """Transactions on one database, from any thread. Connects at the first one."""

    def __init__(self, url: str, *, timeouts: bool = True) -> None:
        """Raises SettingsError. Without ``timeouts`` a statement may take any time."""
        parsed, size = read_url(url)
        self.kind = parsed.get_backend_name()
        self.location = describe(parsed)
        self._file = file_of(parsed)
        self._url = parsed
        self._errors = _TranslatedErrors(parsed)
        self._writer: _SqliteWriter | None = None
        self._readers: _KeptConnections | None = None
        if self.kind == "sqlite":
            self._engine = self._autocommit_engine = _sqlite_engine(parsed, size)
            self._writer, self._readers = _SqliteWriter(self._engine), _KeptConnections(self._engine)
        else:
            self._connect_args = _connect_args(parsed, POSTGRESQL_TIMEOUTS if timeouts else NO_TIMEOUTS)
            self._engine = _postgresql_engine(parsed, size, self._connect_args)
            self._autocommit_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Opens a transaction that is committed at the end of the block. Raises StoreUnavailable."""
        with self._errors, self._writer or self._engine.connect() as connection:
            yield connection
            connection.commit()

    @contextmanager
    def driver_transaction(self) -> Iterator[tuple[Connection, Any]]:
        """Opens a transaction for statements that the driver executes itself; also yields the driver's cursor.

        Raises what ``transaction`` raises.
        """
        with self.transaction() as connection:
            if self._writer is None:
                connection.begin()  # SQLAlchemy begins at its own first statement only
            try:
                yield connection, connection.connection.cursor()
            except self._engine.dialect.loaded_dbapi.Error as exc:
                raise self._wrapped(connection, exc) from exc

    def _wrapped(self, connection: Connection, exc: Exception) -> DBAPIError:
        """Returns a driver's error as SQLAlchemy raises it, and discards a connection that is lost."""
        dialect = self._engine.dialect
        lost = dialect.is_disconnect(exc, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
        if lost:
            connection.invalidate(exc)
        return DBAPIError.instance(  # type: ignore[return-value]  # it is one, as ``exc`` is the driver's
            *("(by the driver)", None, exc, dialect.loaded_dbapi.Error),
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        )

    @contextmanager
    def single_write(self) -> Iterator[Connection]:
        """Opens a connection for a single write, which saves the round trips of BEGIN and COMMIT. Raises likewise."""
        with self._errors, self._writer or self._autocommit_engine.connect() as connection:
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Opens a connection without a transaction: each statement sees what is committed then. Raises likewise."""
        with self._errors, self._read_connection() as connection:
            yield connection

    def fetch_all(self, statement: Select[*tuple[Any, ...]], **parameters: Any) -> Sequence[Sequence[Any]]:
        """Returns the rows that one statement reads. Raises likewise."""
        with self.read() as connection:
            return connection.execute(statement, parameters).all()

    @contextmanager
    def driver_read(self) -> Iterator[Any]:
        """Opens a connection without a transaction, as ``read``; yields a cursor of the driver. Raises likewise."""
        with self._errors, self._read_connection() as connection:
            try:
                yield connection.connection.cursor()
            except self._engine.dialect.loaded_dbapi.Error as exc:
                raise self._wrapped(connection, exc) from exc

    def _read_connection(self) -> AbstractContextManager[Connection]:
        return self._autocommit_engine.connect() if self._readers is None else self._readers.connection()

    def listen_connection(self) -> psycopg.Connection:
        """Opens a connection outside of the pool, in autocommit mode. PostgreSQL only. Raises the driver's errors."""
        dialect = self._engine.dialect
        positional, named = dialect.create_connect_args(self._url)
        connection: psycopg.Connection = dialect.loaded_dbapi.connect(
            *positional, **{**self._connect_args, **LISTEN_OPTIONS, **named, "options": self._connect_args["options"]}
        )
        return connection

    def exists(self) -> bool:
        """Returns whether an SQLite file exists; always True for a server, which reports it on connecting."""
        return self._file is None or self._file.is_file()

    def is_full(self) -> bool:
        """Returns whether a write has just met a full disk, or an SQLite file is on one that nearly is."""
        if time.monotonic() < self._errors.full_until:
            return True
        with suppress(OSError):
            return self._file is not None and is_nearly_full(os.statvfs(self._file.parent))
        return False

    def close(self) -> None:
        if self._readers is not None:
            self._readers.close()
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()


def is_nearly_full(disk: os.statvfs_result) -> bool:
    """Returns whether a disk has little space left. What takes no files at all is not full: /proc, a mounted image."""
    takes_files = disk.f_blocks > 0 and not disk.f_flag & os.ST_RDONLY
    return takes_files and disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES


class _TranslatedErrors(AbstractContextManager[None]):
    """Raises the errors of a database as StoreUnavailable. Entered for each transaction, in any number of threads."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self.full_until = 0.0
        """Until when the disk counts as full."""

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if not isinstance(exc, DATABASE_ERRORS):
            return
        translated = to_store_error(exc, self._url)
        if translated is None:
            return
        if str(translated) == FULL:
            self.full_until = time.monotonic() + FULL_SECONDS
        raise translated from driver_error(exc)


class _SqliteWriter(AbstractContextManager[Connection]):
    """The connection on which a process writes to SQLite, for the time of one transaction after the other.

    SQLite has one writer at a time, and itself waits by sleeping and retrying. The connection is kept until something
    fails: to take one from the pool and to give it back takes longer than what most transactions do.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Connection:
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise StoreUnavailable(BUSY)
        try:
            return self._begun()
        except BaseException:
            self._release(keeps=False)
            raise

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        self._release(keeps=exc is None)

    def close(self) -> None:
        """Closes the connection, unless a transaction is in progress: a process that stops does not wait for one."""
        if self._lock.acquire(blocking=False):
            self._release(keeps=False)

    def _begun(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        self._connection.begin()
        # The driver begins no transaction by itself, see _sqlite_engine. One that reads first and writes later can fail
        # at the write; this one waits at the start instead.
        self._connection.connection.cursor().execute("BEGIN IMMEDIATE")
        return self._connection

    def _release(self, *, keeps: bool) -> None:
        """Lets the next writer in. Unless it ``keeps`` the connection, rolls back, and gives it back to the pool."""
        try:
            if self._connection is not None and not keeps:
                with self._connection as connection:
                    self._connection = None
                    connection.rollback()
                    # Also by the driver: to SQLAlchemy, a transaction whose COMMIT failed is over.
                    connection.connection.rollback()
        finally:
            self._lock.release()


class _KeptConnections:
    """Connections that stay open from one read to the next, each used by one thread at a time.

    A pool's care for a connection takes thirty times as long as a statement that reads one row of an SQLite file.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: list[Connection] = []

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lends a connection. It is closed after an error, as that may be its own."""
        connection = self._take()
        try:
            yield connection
            connection.rollback()  # what SQLAlchemy has begun by itself
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def close(self) -> None:
        """Closes those that nobody uses."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._engine.connect()
            connection.detach()  # it is none of the pool's any more
            return connection


# ---------------------------------------------------------------- engines


def _sqlite_engine(url: URL, size: int) -> Engine:
    if sqlite3.sqlite_version_info < SQLITE_MIN_VERSION:
        raise SettingsError(f"This Python has SQLite {sqlite3.sqlite_version}; the gateway needs 3.35 or newer.")
    # Without an isolation level the driver does not begin transactions by itself: see _SqliteWriter.
    options = {"timeout": WAIT_SECONDS, "isolation_level": None}
    engine = _create_engine(url, size, connect_args=options)
    event.listen(engine, "do_connect", _create_private_file(file_of(url)))
    event.listen(engine, "connect", _set_up_connection)
    return engine


def _connect_args(url: URL, timeouts: dict[str, int]) -> dict[str, str]:
    settings = " ".join(f"-c {name}={value}" for name, value in timeouts.items())
    options = {name: value for name, value in POSTGRESQL_OPTIONS.items() if name not in url.query}
    # The operator's options come last, so they take precedence.
    return options | {"options": f"{settings} {url.query.get('options', '')}".strip()}


def _postgresql_engine(url: URL, size: int, connect_args: dict[str, str]) -> Engine:
    with imports_of_extra("postgres", "DATABASE_URL"):
        engine = _create_engine(url, size, connect_args=connect_args, isolation_level="READ COMMITTED")
    event.listen(engine, "checkin", _record_checkin_time)
    event.listen(engine, "checkout", _ping_idle(engine))
    return engine


def _create_engine(url: URL, size: int, **options: Any) -> Engine:
    return create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,  # they contain message text
        **options,
    )


def _create_private_file(path: Path | None) -> Callable[..., None]:
    """Returns what creates the file for this user only. SQLite gives its WAL the same permissions."""

    def create(*_: object) -> None:
        if path is not None:
            with suppress(OSError):  # it exists; or SQLite says what is wrong
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))

    return create


def _set_up_connection(connection: Any, _: ConnectionPoolEntry) -> None:
    for pragma in PRAGMAS:
        connection.execute(pragma)
    connection.create_function("casefold", 1, str.casefold, deterministic=True)  # SQLite itself folds ASCII only


def _record_checkin_time(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _ping_idle(engine: Engine) -> Any:
    def ask(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - entry.info.get("used", time.monotonic()) < PING_AFTER_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as exc:
            raise InvalidatePoolError from exc

    return ask
