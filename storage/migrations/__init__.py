"""Brings a database up to date, and tells cheaply whether it is. Alembic is loaded only when there is work to do.

A new revision: a file in ``versions``, and its name at the end of REVISIONS. Code of SERVES and later goes on working
on it, beside newer code: so what a revision adds has defaults, and what it takes away nobody has used since SERVES.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection, column, func, inspect, select, table

from gateway import logs
from gateway.errors import SettingsError, StoreUnavailable
from storage import statements
from storage.database import Database

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""Every revision there is, oldest first."""
SERVES: Final = "0002"
"""The oldest one whose code still works on a database of the newest."""
ALONGSIDE: Final = frozenset({"0004"})
"""Those that on PostgreSQL run outside of any transaction, as they build indexes without keeping writers out. One that
was broken off is run again, and puts right what it finds."""

VERSIONS = table("alembic_version", column("version_num"))
FACT: Final = "revision:"
"""Begins the name of a fact: the oldest revision whose code works on a database of this one."""

LOCK: Final = 7_021_868_313
"""One number that every gateway locks on PostgreSQL while it migrates."""
LOOK_SECONDS: Final = 0.1
LOCK_SECONDS: Final = 0.2
"""How long a table is asked for at a time: all who come later wait behind us, whoever it is that we wait for."""
PAUSE_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 600.0
HELD: Final = ("55P03", "40P01")
"""SQLSTATEs: a lock was not to be had, https://www.postgresql.org/docs/current/errcodes-appendix.html."""

log = logs.get(__name__)


class Standing(Enum):
    """A database beside this version of the gateway."""

    CURRENT = auto()
    """Of our newest revision, or of a later one that serves us too."""
    BEHIND = auto()
    AHEAD = auto()
    """Of a revision that only a newer gateway can work with: it must not be touched."""


def standing(url: str) -> Standing:
    """Up to three small queries. Raises SettingsError, StoreUnavailable."""
    with closing(Database(url)) as database:
        if not database.exists():
            return Standing.BEHIND
        with database.reading() as connection:
            return _standing(connection, _revision(connection))


def is_current(url: str) -> bool:
    """Whether there is nothing to migrate. Raises SettingsError when the database is of a newer gateway."""
    found = standing(url)
    if found is Standing.AHEAD:
        raise _too_new()
    return found is Standing.CURRENT


def upgrade(url: str) -> None:
    """Bring the database to the newest revision, while others work on it; any number of processes may try at once.

    On PostgreSQL nobody waits for long because of it: a table that is in use is asked for again and again, for up to
    ten minutes. Raises SettingsError when the database is of a newer gateway, and StoreUnavailable.
    """
    with closing(Database(url, limits=False)) as database:
        if database.kind == "postgresql":
            with _alone(url):
                _upgrade_server(database)
        else:  # the transaction itself keeps others out
            with database.writing() as connection:
                for revision in _missing(connection):
                    _run(connection, revision)


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Keep others out who migrate."""
    with closing(Database(url, limits=False)) as database, database.writing() as connection:
        # Who builds an index waits for every snapshot that is older. So this neither waits within a statement, nor ends
        # with one that leaves its snapshot behind, as those of the extended protocol do.
        while not connection.execute(select(func.pg_try_advisory_xact_lock(LOCK))).scalar():
            connection.rollback()
            time.sleep(LOOK_SECONDS)
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def _upgrade_server(database: Database) -> None:
    with database.reading() as connection:
        missing = _missing(connection)
    for revision in missing:
        if revision in ALONGSIDE:
            with database.writing_once() as connection:
                _run(connection, revision)
        else:
            _insist(database, revision)


def _insist(database: Database, revision: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with database.writing() as connection:
                connection.execute(select(func.set_config("lock_timeout", f"{int(LOCK_SECONDS * 1000)}ms", True)))  # noqa: FBT003  # for this transaction
                return _run(connection, revision)
        except StoreUnavailable as exc:
            if getattr(exc.__cause__, "sqlstate", None) not in HELD or time.monotonic() > deadline:
                raise
            log.warning("tables in use, trying again", revision=revision, retry_in=PAUSE_SECONDS)
        time.sleep(PAUSE_SECONDS)


def _run(connection: Connection, revision: str) -> None:
    # Loaded here: a gateway on a current database needs neither the time nor the memory.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "storage:migrations")
    config.set_main_option("path_separator", "newline")
    command.upgrade(config, revision)
    keep = statements.INSERTS[connection.dialect.name].keep
    connection.execute(keep, {"name": f"{FACT}{revision}", "value": SERVES})


def _missing(connection: Connection) -> Sequence[str]:
    """The revisions that are still to come. Raises SettingsError."""
    found = _revision(connection)
    match _standing(connection, found):
        case Standing.AHEAD:
            raise _too_new()
        case Standing.CURRENT:
            return ()
    return REVISIONS if found is None else REVISIONS[REVISIONS.index(found) + 1 :]


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSIONS.name):
        return None
    found: str | None = connection.execute(select(VERSIONS)).scalar()
    return found


def _standing(connection: Connection, revision: str | None) -> Standing:
    if revision is None or revision in REVISIONS[:-1]:
        return Standing.BEHIND
    if revision == REVISIONS[-1]:
        return Standing.CURRENT
    serves = connection.execute(statements.recall, {"fact": f"{FACT}{revision}"}).scalar()
    return Standing.CURRENT if serves in REVISIONS else Standing.AHEAD


def _too_new() -> SettingsError:
    return SettingsError(
        "DATABASE_URL: a newer version of the gateway has changed this database. "
        "Run that version or a newer one, or name another database."
    )
