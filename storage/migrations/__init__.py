"""Migrates a database, and checks cheaply whether it is current. Alembic is loaded only if there is a migration to run.

To add a revision, add a file to ``versions`` and its name to the end of REVISIONS. Code of OLDEST_COMPATIBLE and later
keeps working on the new schema beside newer code: so a revision adds only columns with defaults, and removes only what
no code has used since OLDEST_COMPATIBLE.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection, column, func, inspect, select, table

from gateway import logs
from gateway.domain.errors import SettingsError, StoreUnavailable
from storage import sql
from storage.connecting.database import Database
from storage.upserts import UPSERTS

REVISIONS: Final = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0017",
    "0018",
    "0019",
    "0020",
    "0021",
    "0022",
    "0023",
    "0024",
    "0025",
    "0026",
    "0027",
)
"""All revisions, oldest first."""
OLDEST_COMPATIBLE: Final = "0002"
"""The oldest revision whose code works on a database of the newest revision."""
OUTSIDE_TRANSACTION: Final = frozenset({"0004", "0008", "0015", "0022"})
"""Revisions that run outside of a transaction on PostgreSQL, because they build indexes without blocking writers. One
that was interrupted is run again and repairs what it finds."""

ALEMBIC_VERSION = table("alembic_version", column("version_num"))
COMPATIBLE_PREFIX: Final = "revision:"
"""Prefix of the name, in ``facts``, of the oldest revision whose code works on a database of that revision."""

ADVISORY_LOCK: Final = 7_021_868_313
"""The advisory lock that a gateway holds on PostgreSQL while it migrates."""
POLL_SECONDS: Final = 0.1
LOCK_SECONDS: Final = 0.2
"""How long one attempt waits for a table lock; meanwhile all later statements on that table wait behind it."""
PAUSE_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 600.0
LOCK_NOT_AVAILABLE: Final = ("55P03", "40P01")
"""SQLSTATEs for a lock that is not available, https://www.postgresql.org/docs/current/errcodes-appendix.html."""

UPGRADE: Final = """
import json, sys
sys.path[:], url = json.load(sys.stdin)
from storage.migrations import upgrade
upgrade(url)
"""

log = logs.get_logger(__name__)


class SchemaStatus(Enum):
    """The schema of a database relative to this version of the gateway."""

    CURRENT = auto()
    """At our newest revision, or at a later compatible one."""
    BEHIND = auto()
    AHEAD = auto()
    """At a revision that only a newer gateway can use: it must not be changed."""


def schema_status(url: str) -> SchemaStatus:
    """Returns the status of a database, with up to three small queries. Raises SettingsError, StoreUnavailable."""
    with closing(Database(url)) as database:
        if not database.exists():
            return SchemaStatus.BEHIND
        with database.read() as connection:
            return _status(connection, _revision(connection))


def is_current(url: str) -> bool:
    """Returns whether there is nothing to migrate. Raises SettingsError when the database is of a newer gateway."""
    found = schema_status(url)
    if found is SchemaStatus.AHEAD:
        raise _too_new()
    return found is SchemaStatus.CURRENT


def upgrade(url: str) -> None:
    """Migrates the database to the newest revision while it is in use; any number of processes may call this at once.

    On PostgreSQL it never blocks others for long: it retries short attempts to lock a table for up to ten minutes.
    Raises SettingsError when the database is of a newer gateway, and StoreUnavailable.
    """
    with closing(Database(url, timeouts=False)) as database:
        if database.kind == "postgresql":
            with _exclusive(url):
                _upgrade_server(database)
        else:  # SQLite has only one writer at a time
            with database.transaction() as connection:
                for revision in _missing(connection):
                    _run_revision(connection, revision)


def upgrade_apart(url: str) -> None:
    """Migrates as ``upgrade`` does, in a process of its own: what Alembic loads would stay in this one."""
    if not is_current(url):
        command, nowhere = [sys.executable, "-c", UPGRADE], subprocess.DEVNULL
        with suppress(OSError):  # there is no such program, where Python is a part of another one
            # The URL may contain a password, so it is no argument.
            subprocess.run(  # noqa: S603  # the program is a constant
                command, input=json.dumps([sys.path, url]), text=True, stdout=nowhere, stderr=nowhere, check=False
            )
    upgrade(url)  # what that process could not do is done, or fails, here


@contextmanager
def _exclusive(url: str) -> Iterator[None]:
    """Keeps other processes from migrating at the same time."""
    with closing(Database(url, timeouts=False)) as database, database.transaction() as connection:
        # Building an index concurrently waits for every older snapshot. So this neither waits within a statement, nor
        # ends with a statement of the extended protocol, which would keep its snapshot.
        while not connection.execute(select(func.pg_try_advisory_xact_lock(ADVISORY_LOCK))).scalar():
            connection.rollback()
            time.sleep(POLL_SECONDS)
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def _upgrade_server(database: Database) -> None:
    with database.read() as connection:
        missing = _missing(connection)
    for revision in missing:
        if revision in OUTSIDE_TRANSACTION:
            with database.single_write() as connection:
                _run_revision(connection, revision)
        else:
            _upgrade_with_retries(database, revision)


def _upgrade_with_retries(database: Database, revision: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with database.transaction() as connection:
                connection.execute(select(func.set_config("lock_timeout", f"{int(LOCK_SECONDS * 1000)}ms", True)))  # noqa: FBT003  # for this transaction
                return _run_revision(connection, revision)
        except StoreUnavailable as exc:
            if getattr(exc.__cause__, "sqlstate", None) not in LOCK_NOT_AVAILABLE or time.monotonic() > deadline:
                raise
            log.warning("migration could not lock its tables; retrying", revision=revision, retry_in=PAUSE_SECONDS)
        time.sleep(PAUSE_SECONDS)


def _run_revision(connection: Connection, revision: str) -> None:
    # Imported here to save time and memory on a current database.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "storage:migrations")
    config.set_main_option("path_separator", "newline")
    command.upgrade(config, revision)
    keep = UPSERTS[connection.dialect.name].set_value
    connection.execute(keep, {"name": f"{COMPATIBLE_PREFIX}{revision}", "value": OLDEST_COMPATIBLE})


def _missing(connection: Connection) -> Sequence[str]:
    """Returns the revisions to run. Raises SettingsError."""
    found = _revision(connection)
    match _status(connection, found):
        case SchemaStatus.AHEAD:
            raise _too_new()
        case SchemaStatus.CURRENT:
            return ()
    return REVISIONS if found is None else REVISIONS[REVISIONS.index(found) + 1 :]


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(ALEMBIC_VERSION.name):
        return None
    found: str | None = connection.execute(select(ALEMBIC_VERSION)).scalar()
    return found


def _status(connection: Connection, revision: str | None) -> SchemaStatus:
    if revision is None or revision in REVISIONS[:-1]:
        return SchemaStatus.BEHIND
    if revision == REVISIONS[-1]:
        return SchemaStatus.CURRENT
    serves = connection.execute(sql.get_value, {"fact": f"{COMPATIBLE_PREFIX}{revision}"}).scalar()
    return SchemaStatus.CURRENT if serves in REVISIONS else SchemaStatus.AHEAD


def _too_new() -> SettingsError:
    return SettingsError(
        "DATABASE_URL: a newer version of the gateway has changed this database. "
        "Run that version or a newer one, or name another database."
    )
