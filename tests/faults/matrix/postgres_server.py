"""PostgreSQL servers that can be killed and restarted, copied from one that was set up once."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from storage.migrations import upgrade
from tests import postgres_keeper as keeper

OPTIONS = {
    **keeper.OPTIONS,
    # Commits must survive a killed server, but not a crash of the machine.
    "synchronous_commit": "on",
    "shared_buffers": "16MB",
    "max_connections": "400",
    "max_wal_size": "8MB",
    "min_wal_size": "2MB",
}
DATABASE_NAME = "gateway"
START_SECONDS = 20.0


class ServerFailed(Exception):
    """A pg_ctl or initdb command failed."""


@dataclass(frozen=True)
class PostgresTemplate:
    """A data folder with our tables, to be copied, and the folder of PostgreSQL's programs."""

    folder: Path
    programs: Path


@dataclass(frozen=True)
class PostgresServer:
    template: PostgresTemplate
    folder: Path
    """Holds its socket and its data."""

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def start(self) -> None:
        """Starts the server, with retries, as killed processes need a moment to be gone."""
        end = time.monotonic() + START_SECONDS
        while not self.is_up():
            try:
                self._control("start", "-l", "log", "-o", f"-k '{self.folder}'")
            except ServerFailed:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def is_up(self) -> bool:
        with suppress(psycopg.OperationalError), self.connect("postgres"):
            return True
        return False

    def stop(self, how: str = "immediate") -> None:
        """Stops the server; ``immediate``: without notice to clients and without a checkpoint."""
        with suppress(ServerFailed):  # it may be dead already
            self._control("stop", "-m", how)

    def kill(self) -> None:
        """Kills the main process, after which the others exit as well."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def new_database(self, name: str) -> str:
        """Creates a database with our tables; returns its URL."""
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE_NAME}")
        return self.url(name)

    def url(self, name: str = DATABASE_NAME) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def connect(self, name: str = DATABASE_NAME) -> psycopg.Connection:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=name, autocommit=True)

    def _control(self, *what: str) -> None:
        _call(self.folder, self.template.programs / "pg_ctl", *what, "-w", "-t", "20", "-D", "data")


def _call(folder: Path, *command: str | Path) -> None:
    try:
        keeper.run_command(folder, *command)
    except SystemExit as exc:
        raise ServerFailed(str(exc)) from None


@contextmanager
def build_template() -> Iterator[PostgresTemplate]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-matrix-"))
    try:
        folder.chmod(0o755)
        programs = keeper.find_programs(folder)
        first = PostgresServer(PostgresTemplate(folder, programs), folder)
        initdb = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
        _call(folder, programs / "initdb", *initdb, "--wal-segsize=1", "-D", "data")
        with (folder / "data" / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = {value}\n" for name, value in OPTIONS.items())
        first.start()
        with first.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE_NAME}")
        upgrade(first.url())
        first.stop("fast")
        yield first.template
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_server(template: PostgresTemplate, folder: Path) -> Iterator[PostgresServer]:
    """Yields a running server with a copy of the template's data, in an existing folder."""
    subprocess.run(["cp", "-a", str(template.folder / "data"), str(folder / "data")], check=True)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, pwd.getpwnam("nobody").pw_uid)
    copy = PostgresServer(template, folder)
    copy.start()
    try:
        yield copy
    finally:
        copy.stop()
