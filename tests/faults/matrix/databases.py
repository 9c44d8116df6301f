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

from tests.faults.matrix.plan import CLOCKS, Cell, Database, Fault
from tests.faults.matrix.postgres_server import Mould, Server, server
from tests.faults.matrix.process_hooks import Levers
from tests.faults.matrix.proxy import Target

UNFINISHED = "SELECT count(*) FROM turns WHERE state IN ('queued', 'running', 'answered')"
DISKS = {Database.SQLITE: "2m", Database.POSTGRESQL: "96m"}
SKEW = """
CREATE SCHEMA skew;
CREATE TABLE skew.shift AS SELECT 0.0::float8 AS seconds;
CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM skew.shift) * interval ''1 second''';
"""


class CannotMount(Exception):
    """This user may not mount a small disk."""


class Place(Protocol):
    """The database of a scenario."""

    url: str

    def url_by(self, port: int) -> str:
        """Returns the URL through a proxy of ``target`` at this port."""
        ...

    @property
    def target(self) -> Target: ...

    def down(self) -> None:
        """Makes the database unavailable, as during a restart."""
        ...

    def up(self) -> None: ...

    def fill(self) -> None:
        """Fills its disk."""
        ...

    def drain(self) -> None: ...

    def jump(self, seconds: float) -> None:
        """Shifts its clock."""
        ...

    def unfinished(self) -> int | None:
        """Returns the number of unfinished turns; None when the database does not answer."""
        ...


@dataclass(frozen=True)
class Ground:
    """What the databases of all scenarios are copied from. Pickled to other processes."""

    sqlite: Path
    """An SQLite file with our tables."""
    mould: Mould | None
    shared: Server | None
    """The server for scenarios that need none of their own."""


class Sqlite:
    def __init__(self, folder: Path, ground: Ground, levers: Levers, *, own_disk: bool) -> None:
        self._file = Path(shutil.copy(ground.sqlite, folder / "gateway.db"))
        self.url = f"sqlite:///{self._file}"
        self.target = self._file
        self._levers = levers
        self._ballast = Ballast(folder) if own_disk else None
        self._lock: sqlite3.Connection | None = None

    def url_by(self, port: int) -> str:
        raise NotImplementedError

    def down(self) -> None:
        self._lock = sqlite3.connect(self._file, isolation_level=None, timeout=10, check_same_thread=False)
        self._lock.execute("BEGIN EXCLUSIVE")

    def up(self) -> None:
        if self._lock is not None:
            self._lock.execute("ROLLBACK")
            self._lock.close()

    def fill(self) -> None:
        if self._ballast is None:
            self._levers.set(full=True)
        else:
            self._ballast.put()

    def drain(self) -> None:
        if self._ballast is None:
            self._levers.set(full=False)
        else:
            self._ballast.take()

    def jump(self, seconds: float) -> None:
        """Does nothing: SQLite uses the clock of the process."""

    def unfinished(self) -> int | None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._file, timeout=1)) as connection:
            return int(connection.execute(UNFINISHED).fetchone()[0])
        return None


class Postgresql:
    def __init__(self, home: Server, url: str, name: str, folder: Path) -> None:
        self._home = home
        self.url = url
        self.target = home.socket
        self._name = name
        self._ballast = Ballast(folder)

    def url_by(self, port: int) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{self._name}?sslmode=disable&gssencmode=disable"

    def down(self) -> None:
        self._home.kill()

    def up(self) -> None:
        self._home.start()

    def fill(self) -> None:
        self._ballast.put()

    def drain(self) -> None:
        self._ballast.take()
        self._home.start()  # the server may have stopped on the full disk

    def skew(self) -> None:
        """Makes its clock adjustable, for new connections."""
        with self._home.connect(self._name) as connection:
            connection.execute(SKEW)
            connection.execute(f"ALTER DATABASE {self._name} SET search_path = skew, pg_catalog, public")

    def jump(self, seconds: float) -> None:
        with self._home.connect(self._name) as connection:
            connection.execute("UPDATE skew.shift SET seconds = %s", [seconds])

    def unfinished(self) -> int | None:
        with suppress(psycopg.Error), self._home.connect(self._name) as connection:
            row: Any = connection.execute(UNFINISHED).fetchone()
            return int(row[0])
        return None


class Ballast:
    """A file that fills the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ballast"

    def put(self) -> None:
        with suppress(OSError), self._file.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def take(self) -> None:
        self._file.unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mounts a tmpfs of this size. Raises MountNotAllowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "gateway-matrix", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise CannotMount(mounted.stderr.decode())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@contextmanager
def place(cell: Cell, ground: Ground, levers: Levers) -> Iterator[Place]:
    """Yields the database of one scenario. Raises MountNotAllowed where PostgreSQL needs a small disk."""
    make: Callable[..., AbstractContextManager[Place]] = {
        Database.SQLITE: _sqlite,
        Database.POSTGRESQL: _postgresql,
    }[cell.database]
    with ExitStack() as leaving:
        folder = Path(tempfile.mkdtemp(prefix="gateway-place-"))
        leaving.callback(partial(shutil.rmtree, folder, ignore_errors=True))
        folder.chmod(0o755)
        yield leaving.enter_context(make(folder, cell, ground, levers))


@contextmanager
def _sqlite(folder: Path, cell: Cell, ground: Ground, levers: Levers) -> Iterator[Place]:
    with ExitStack() as leaving:
        own_disk = False
        if cell.fault is Fault.DISK_FULL:
            with suppress(CannotMount):
                leaving.enter_context(small_disk(folder, DISKS[cell.database]))
                own_disk = True
        yield Sqlite(folder, ground, levers, own_disk=own_disk)


@contextmanager
def _postgresql(folder: Path, cell: Cell, ground: Ground, levers: Levers) -> Iterator[Place]:
    assert ground.mould is not None
    assert ground.shared is not None
    with ExitStack() as leaving:
        if cell.fault is Fault.DISK_FULL:
            leaving.enter_context(small_disk(folder, DISKS[cell.database]))
        if cell.fault in {Fault.DISK_FULL, Fault.RESTART}:
            own = leaving.enter_context(server(ground.mould, folder))
            yield Postgresql(own, own.url(), "gateway", folder)
            return
        name = f"cell_{uuid4().hex}"
        made = Postgresql(ground.shared, ground.shared.new_database(name), name, folder)
        if cell.fault in CLOCKS:
            made.skew()
        yield made
        _drop(ground.shared, name)


def _drop(shared: Server, name: str) -> None:
    with shared.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
