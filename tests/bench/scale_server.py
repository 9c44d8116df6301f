"""A PostgreSQL of one's own that keeps what it commits, unlike the one for tests; and what can be seen in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from storage.migrations import upgrade
from tests import postgres

AS_INSTALLED = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
}
"""As PostgreSQL is when nobody has changed it; for the tests these are off."""


class DatabaseServer:
    """A running server; its databases go with it."""

    def __init__(self, sockets: str) -> None:
        self._sockets = sockets

    def new_database(self) -> str:
        """The URL of a database with our tables, and nothing in them."""
        url = postgres.new_database(self._sockets)
        upgrade(url)
        return url


@contextmanager
def database_server(folder: Path) -> Iterator[DatabaseServer]:
    """For as long as the block lasts. ``folder`` is for nothing else."""
    with postgres.server(folder) as sockets:
        with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as connection:
            for name, value in AS_INSTALLED.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}")
            connection.execute("SELECT pg_reload_conf()")
        yield DatabaseServer(sockets)


def connect(url: str) -> psycopg.Connection:
    """A connection of one's own, beside the gateway's, in which each statement is a transaction."""
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(), autocommit=True)
