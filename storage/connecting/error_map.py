"""Maps database errors to StoreUnavailable with a message for the operator. The driver's error is the cause."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from gateway.domain.errors import StoreUnavailable
from storage.connecting.database_url import describe
from storage.connecting.outage import describe_outage

UNREACHABLE = "The database cannot be reached. Try again later."
BUSY = "The database is busy. Try again in a moment."
FULL = "The disk of the database is full."
READ_ONLY = (
    "The database {file} cannot be written to: check the permissions of its file and folder, and that their disk takes "
    "files."
)
STANDBY = "The database accepts no writes: it is a standby or read-only."
OUTDATED = "The database lacks tables or columns of this version: run the command `migrate`."
DAMAGED = "The database file {file} is damaged, or is not a database."

SQLITE_MESSAGES: Mapping[str, str] = {
    "SQLITE_BUSY": BUSY,
    "SQLITE_LOCKED": BUSY,
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": READ_ONLY,
    "SQLITE_CANTOPEN": READ_ONLY,
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": DAMAGED,
}
"""By the name of the primary result code, https://sqlite.org/rescode.html."""

MISSING_TABLE_TEXTS = ("no such table", "no such column", "has no column named")
"""SQLite has no error code for this, only these texts."""

POSTGRESQL_MESSAGES: Mapping[str, str] = {
    "25006": STANDBY,
    "40": BUSY,
    "42P01": OUTDATED,
    "42703": OUTDATED,
    "53100": FULL,
    "53300": BUSY,
    "55P03": BUSY,
    "57014": BUSY,
}
"""By SQLSTATE or its class, https://www.postgresql.org/docs/current/errcodes-appendix.html."""


CONTENTION = frozenset({"40", "55P03"})

DATABASE_ERRORS = (DBAPIError, NoConnectionFree, sqlite3.Error)
"""What a transaction may raise; sqlite3.Error where the driver is called directly."""


def driver_error(exc: Exception) -> BaseException:
    """Returns the driver's error that SQLAlchemy wrapped, or the error itself."""
    return (exc.orig if isinstance(exc, DBAPIError) else None) or exc


def to_store_error(exc: Exception, url: URL) -> StoreUnavailable | None:
    """Returns the StoreUnavailable for one of DATABASE_ERRORS; None if it is a programming error, not an outage."""
    sentence = _message_for(exc)
    if sentence is None and isinstance(exc, DBAPIError):
        # Without a statement, connecting failed.
        outage = exc.statement is None or exc.connection_invalidated
        if not (outage or isinstance(exc, OperationalError | InterfaceError | InternalError)):
            return None
    return StoreUnavailable(sentence.format(file=describe(url)) if sentence else _unreachable(exc, url))


def _unreachable(exc: Exception, url: URL) -> str:
    return UNREACHABLE if url.get_backend_name() == "sqlite" else describe_outage(url, driver_error(exc))


def is_contention(exc: StoreUnavailable) -> bool:
    """Returns whether other transactions were in the way: a deadlock, or a lock held for too long."""
    code = getattr(exc.__cause__, "sqlstate", None) or ""
    return code[:2] in CONTENTION or code in CONTENTION


def _message_for(exc: Exception) -> str | None:
    error = driver_error(exc)
    if isinstance(error, NoConnectionFree):
        return BUSY
    if isinstance(error, sqlite3.Error):
        return _sqlite_message(error)
    code = getattr(error, "sqlstate", None) or ""
    return POSTGRESQL_MESSAGES.get(code) or POSTGRESQL_MESSAGES.get(code[:2])


def _sqlite_message(exc: sqlite3.Error) -> str | None:
    code = getattr(exc, "sqlite_errorname", "")
    if code == "SQLITE_ERROR" and any(missing in str(exc) for missing in MISSING_TABLE_TEXTS):
        return OUTDATED
    return next((sentence for name, sentence in SQLITE_MESSAGES.items() if code.startswith(name)), None)
