"""Runs many cells in parallel, as most of it is waiting."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path

from storage.migrations import upgrade
from tests.faults.crashing_process import PRELOADED_MODULES, fork_context
from tests.faults.matrix.cell_scenario import CellOutcome, run_cell
from tests.faults.matrix.databases import DatabaseTemplates
from tests.faults.matrix.plan import DatabaseKind, MatrixCell
from tests.faults.matrix.postgres_server import build_template, run_server


@contextmanager
def open_templates(cells: Iterable[MatrixCell]) -> Iterator[DatabaseTemplates]:
    """Yields the database templates that these cells need."""
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="gateway-ground-")))
        folder.chmod(0o755)
        sqlite = folder / "empty.db"
        upgrade(f"sqlite:///{sqlite}")
        if not any(cell.database is DatabaseKind.POSTGRESQL for cell in cells):
            yield DatabaseTemplates(sqlite, None, None)
            return
        made = leaving.enter_context(build_template())
        yield DatabaseTemplates(sqlite, made, leaving.enter_context(run_server(made, folder)))


def run_cells(
    cells: Iterable[MatrixCell], max_parallel: int, *, separate_processes: bool = True
) -> Iterator[CellOutcome]:
    """Yields the result of each cell as soon as it is done. ``separate_processes`` pays off for many cells."""
    fork_context.set_forkserver_preload([*PRELOADED_MODULES, __name__])
    wanted = list(cells)
    with open_templates(wanted) as made, _pool(max_parallel, apart=separate_processes) as pool:
        try:
            for done in as_completed([pool.submit(run_cell, cell, made) for cell in wanted]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # running cells end first


def _pool(at_once: int, *, apart: bool) -> Executor:
    if not apart:
        return ThreadPoolExecutor(at_once)
    return ProcessPoolExecutor(at_once, fork_context, initializer=_quiet_logs)


def _quiet_logs() -> None:
    """Silences the logs about broken connections, which are expected here."""
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
