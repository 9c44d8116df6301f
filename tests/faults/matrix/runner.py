"""Runs many cells in parallel, as most of it is waiting."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path

from storage.migrations import upgrade
from tests.faults.crashing_process import LOADED, forking
from tests.faults.matrix.cell_scenario import Outcome, play
from tests.faults.matrix.databases import Ground
from tests.faults.matrix.plan import Cell, Database
from tests.faults.matrix.postgres_server import mould, server


@contextmanager
def ground(cells: Iterable[Cell]) -> Iterator[Ground]:
    """Yields the database templates that these cells need."""
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="gateway-ground-")))
        folder.chmod(0o755)
        sqlite = folder / "empty.db"
        upgrade(f"sqlite:///{sqlite}")
        if not any(cell.database is Database.POSTGRESQL for cell in cells):
            yield Ground(sqlite, None, None)
            return
        made = leaving.enter_context(mould())
        yield Ground(sqlite, made, leaving.enter_context(server(made, folder)))


def run(cells: Iterable[Cell], at_once: int, *, apart: bool = True) -> Iterator[Outcome]:
    """Yields the result of each cell as soon as it is done. ``separate_processes`` pays off for many cells."""
    forking.set_forkserver_preload([*LOADED, __name__])
    wanted = list(cells)
    with ground(wanted) as made, _pool(at_once, apart=apart) as pool:
        try:
            for done in as_completed([pool.submit(play, cell, made) for cell in wanted]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # running cells end first


def _pool(at_once: int, *, apart: bool) -> Executor:
    if not apart:
        return ThreadPoolExecutor(at_once)
    return ProcessPoolExecutor(at_once, forking, initializer=_hush)


def _hush() -> None:
    """Silences the logs about broken connections, which are expected here."""
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
