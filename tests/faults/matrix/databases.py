"""The databases of the scenarios, and their faults."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg

from tests.faults.matrix.plan import CLOCK_FAULTS, DatabaseKind, MatrixCell, MatrixFault
from tests.faults.matrix.postgres_server import PostgresServer, PostgresTemplate, run_server
from tests.faults.matrix.process_hooks import SharedControls
from tests.faults.matrix.proxy import ProxyTarget

UNFINISHED_SQL = "SELECT count(*) FROM turns WHERE state IN ('queued', 'running', 'answered')"
DISK_SIZES = {DatabaseKind.SQLITE: "2m", DatabaseKind.POSTGRESQL: "96m"}
CLOCK_SHIFT_SQL = """
CREATE SCHEMA skew;
CREATE TABLE skew.shift AS SELECT 0.0::float8 AS seconds;
CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM skew.shift) * interval ''1 second''';
"""


class MountNotAllowed(Exception):
    """This user may not mount a small disk."""


class MatrixDatabase(Protocol):
    """The database of a scenario."""

    url: str

    def url_through(self, port: int) -> str:
        """Returns the URL through a proxy of ``target`` at this port."""
        ...

    @property
    def target(self) -> ProxyTarget: ...

    def stop(self) -> None:
        """Makes the database unavailable, as during a restart."""
        ...

    def start(self) -> None: ...

    def fill_disk(self) -> None:
        """Fills its disk."""
        ...

    def free_disk(self) -> None: ...

    def shift_clock(self, seconds: float) -> None:
        """Shifts its clock."""
        ...

    def unfinished_turns(self) -> int | None:
        """Returns the number of unfinished turns; None when the database does not answer."""
        ...


@dataclass(frozen=True)
class DatabaseTemplates:
    """What the databases of all scenarios are copied from. Pickled to other processes."""

    sqlite: Path
    """An SQLite file with our tables."""
    postgres: PostgresTemplate | None
    shared_server: PostgresServer | None
    """The server for scenarios that need none of their own."""


class SqliteDatabase:
    def __init__(self, folder: Path, templates: DatabaseTemplates, controls: SharedControls, *, own_disk: bool) -> None:
        self._file = Path(shutil.copy(templates.sqlite, folder / "gateway.db"))
        self.url = f"sqlite:///{self._file}"
        self.target = self._file
        self._controls = controls
        self._filler = DiskFiller(folder) if own_disk else None
        self._lock: sqlite3.Connection | None = None

    def url_through(self, port: int) -> str:
        raise NotImplementedError

    def stop(self) -> None:
        self._lock = sqlite3.connect(self._file, isolation_level=None, timeout=10, check_same_thread=False)
        self._lock.execute("BEGIN EXCLUSIVE")

    def start(self) -> None:
        if self._lock is not None:
            self._lock.execute("ROLLBACK")
            self._lock.close()

    def fill_disk(self) -> None:
        if self._filler is None:
            self._controls.set(disk_full=True)
        else:
            self._filler.fill()

    def free_disk(self) -> None:
        if self._filler is None:
            self._controls.set(disk_full=False)
        else:
            self._filler.free()

    def shift_clock(self, seconds: float) -> None:
        """Does nothing: SQLite uses the clock of the process."""

    def unfinished_turns(self) -> int | None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._file, timeout=1)) as connection:
            return int(connection.execute(UNFINISHED_SQL).fetchone()[0])
        return None


class PostgresDatabase:
    def __init__(self, server: PostgresServer, url: str, name: str, folder: Path) -> None:
        self._server = server
        self.url = url
        self.target = server.socket
        self._name = name
        self._filler = DiskFiller(folder)

    def url_through(self, port: int) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{self._name}?sslmode=disable&gssencmode=disable"

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def fill_disk(self) -> None:
        self._filler.fill()

    def free_disk(self) -> None:
        self._filler.free()
        self._server.start()  # the server may have stopped on the full disk

    def enable_clock_shift(self) -> None:
        """Makes its clock adjustable, for new connections."""
        with self._server.connect(self._name) as connection:
            connection.execute(CLOCK_SHIFT_SQL)
            connection.execute(f"ALTER DATABASE {self._name} SET search_path = skew, pg_catalog, public")

    def shift_clock(self, seconds: float) -> None:
        with self._server.connect(self._name) as connection:
            connection.execute("UPDATE skew.shift SET seconds = %s", [seconds])

    def unfinished_turns(self) -> int | None:
        with suppress(psycopg.Error), self._server.connect(self._name) as connection:
            row: Any = connection.execute(UNFINISHED_SQL).fetchone()
            return int(row[0])
        return None


class DiskFiller:
    """A file that fills the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ballast"

    def fill(self) -> None:
        with suppress(OSError), self._file.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        self._file.unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mounts a tmpfs of this size. Raises MountNotAllowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "gateway-matrix", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise MountNotAllowed(mounted.stderr.decode())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@contextmanager
def open_database(cell: MatrixCell, templates: DatabaseTemplates, controls: SharedControls) -> Iterator[MatrixDatabase]:
    """Yields the database of one scenario. Raises MountNotAllowed where PostgreSQL needs a small disk."""
    make: Callable[..., AbstractContextManager[MatrixDatabase]] = {
        DatabaseKind.SQLITE: _sqlite,
        DatabaseKind.POSTGRESQL: _postgresql,
    }[cell.database]
    with ExitStack() as leaving:
        folder = Path(tempfile.mkdtemp(prefix="gateway-place-"))
        leaving.callback(partial(shutil.rmtree, folder, ignore_errors=True))
        folder.chmod(0o755)
        yield leaving.enter_context(make(folder, cell, templates, controls))


@contextmanager
def _sqlite(
    folder: Path, cell: MatrixCell, templates: DatabaseTemplates, controls: SharedControls
) -> Iterator[MatrixDatabase]:
    with ExitStack() as leaving:
        own_disk = False
        if cell.fault is MatrixFault.DISK_FULL:
            with suppress(MountNotAllowed):
                leaving.enter_context(small_disk(folder, DISK_SIZES[cell.database]))
                own_disk = True
        yield SqliteDatabase(folder, templates, controls, own_disk=own_disk)


@contextmanager
def _postgresql(
    folder: Path, cell: MatrixCell, templates: DatabaseTemplates, controls: SharedControls
) -> Iterator[MatrixDatabase]:
    assert templates.postgres is not None
    assert templates.shared_server is not None
    with ExitStack() as leaving:
        if cell.fault is MatrixFault.DISK_FULL:
            leaving.enter_context(small_disk(folder, DISK_SIZES[cell.database]))
        if cell.fault in {MatrixFault.DISK_FULL, MatrixFault.RESTART}:
            own = leaving.enter_context(run_server(templates.postgres, folder))
            yield PostgresDatabase(own, own.url(), "gateway", folder)
            return
        name = f"cell_{uuid4().hex}"
        made = PostgresDatabase(templates.shared_server, templates.shared_server.new_database(name), name, folder)
        if cell.fault in CLOCK_FAULTS:
            made.enable_clock_shift()
        yield made
        _drop(templates.shared_server, name)


def _drop(shared: PostgresServer, name: str) -> None:
    with shared.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
