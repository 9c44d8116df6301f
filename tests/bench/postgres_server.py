"""Starts a PostgreSQL server with durable commits, unlike the one for tests, and connects to its databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from storage.migrations import upgrade
from tests import postgres
from tests.bench.usage import cpu_seconds_of_server, parent_of

DEFAULT_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
}
"""PostgreSQL's defaults; the server for tests switches these off."""


class DatabaseServer:
    """A running server; its databases are deleted with it."""

    def __init__(self, sockets: str) -> None:
        self._sockets = sockets

    def new_database(self) -> str:
        """Creates a database with the gateway's empty tables and returns its URL."""
        url = postgres.new_database(self._sockets)
        upgrade(url)
        return url

    def cpu_seconds(self) -> float:
        """Returns the CPU time of all its processes so far."""
        with psycopg.connect(host=self._sockets, user="postgres", dbname="postgres") as connection:
            return cpu_seconds_of_server(parent_of(connection.info.backend_pid))


@contextmanager
def database_server(folder: Path) -> Iterator[DatabaseServer]:
    """Runs a server during the block. ``folder`` must be used for nothing else."""
    with postgres.shared_server(folder) as sockets:
        with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as connection:
            for name, value in DEFAULT_SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}")
            connection.execute("SELECT pg_reload_conf()")
        yield DatabaseServer(sockets)


def open_connection(url: str) -> psycopg.Connection:
    """Opens a separate connection in autocommit mode."""
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(), autocommit=True)
