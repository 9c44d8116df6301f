"""Runs load.py as a process and returns its result with the server's CPU and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tests.bench.load import LoadOrder, LoadResult
from tests.bench.processes import ROOT, BenchServer

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class ServerLoadResult:
    """The result of one load on one server."""

    result: LoadResult
    cpu_seconds: float
    rss_mb: float

    @property
    def rate(self) -> float:
        """Turns per second."""
        return self.result.completed_in_time / self.result.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per turn, of the server alone."""
        return 1000 * self.cpu_seconds / max(1, len(self.result.times))


def run_load(order: LoadOrder, server: BenchServer) -> ServerLoadResult:
    """Runs an order to its end."""
    with _load_process(order) as process:
        _wait_for_line(process)
        before = server.usage()
        result = _finish(process)
        after = server.usage()
    return ServerLoadResult(result, after.cpu_seconds - before.cpu_seconds, after.rss_mb)


@contextmanager
def hold_in_flight(order: LoadOrder) -> Iterator[Callable[[], LoadResult]]:
    """Holds turns in flight during the block; all are sent when it starts. Call the yielded function to end them."""
    with _load_process(order) as process:
        _wait_for_line(process)
        yield lambda: _finish(process)


def wait_until(condition: Callable[[], bool], message: str, seconds: float = TIMEOUT_SECONDS) -> None:
    """Polls until the condition is true. Raises TimeoutError with this message."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(message)
        time.sleep(0.1)


@contextmanager
def _load_process(order: LoadOrder) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load", json.dumps(asdict(order))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for_line(process: subprocess.Popen[str]) -> None:
    if process.stdout is None or not process.stdout.readline():
        raise RuntimeError("the load process did not start")


def _finish(process: subprocess.Popen[str]) -> LoadResult:
    said, _ = process.communicate("\n")
    return LoadResult(**json.loads(said))
