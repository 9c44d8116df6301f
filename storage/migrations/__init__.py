"""Brings a database up to date, and tells cheaply whether it is. Alembic is loaded only when there is work to do.

A new revision: a file in ``versions``, and its name at the end of REVISIONS.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection, column, func, inspect, select, table

from gateway.errors import SettingsError
from storage.database import Database

REVISIONS: Final = ("0001", "0002")
"""Every revision there is, oldest first."""

VERSIONS = table("alembic_version", column("version_num"))

LOCK: Final = 7_021_868_313
"""One number that every gateway locks on PostgreSQL while it migrates."""


class Standing(Enum):
    """A database beside this version of the gateway."""

    CURRENT = auto()
    BEHIND = auto()
    AHEAD = auto()
    """Of a revision that only a newer gateway knows: it must not be touched."""


def standing(url: str) -> Standing:
    """One or two small queries. Raises SettingsError, StoreUnavailable."""
    database = Database(url)
    try:
        if not database.exists():
            return Standing.BEHIND
        with database.reading() as connection:
            return _standing(_revision(connection))
    finally:
        database.close()


def is_current(url: str) -> bool:
    """Whether there is nothing to migrate. Raises SettingsError when the database is of a newer gateway."""
    found = standing(url)
    if found is Standing.AHEAD:
        raise _too_new()
    return found is Standing.CURRENT


def upgrade(url: str) -> None:
    """Bring the database to the newest revision; any number of processes may try at once.

    Raises SettingsError when the database is of a newer gateway, and StoreUnavailable.
    """
    database = Database(url, limits=False)
    try:
        with database.writing() as connection:
            if database.kind == "postgresql":  # on SQLite the transaction itself keeps others out
                connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            found = _standing(_revision(connection))
            if found is Standing.AHEAD:
                raise _too_new()
            if found is Standing.BEHIND:
                _run(connection)
    finally:
        database.close()


def _run(connection: Connection) -> None:
    # Loaded here: a gateway on a current database needs neither the time nor the memory.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "storage:migrations")
    config.set_main_option("path_separator", "newline")
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSIONS.name):
        return None
    found: str | None = connection.execute(select(VERSIONS)).scalar()
    return found


def _standing(revision: str | None) -> Standing:
    if revision == REVISIONS[-1]:
        return Standing.CURRENT
    return Standing.BEHIND if revision is None or revision in REVISIONS else Standing.AHEAD


def _too_new() -> SettingsError:
    return SettingsError(
        "DATABASE_URL: a newer version of the gateway has changed this database. "
        "Run that version or a newer one, or name another database."
    )
