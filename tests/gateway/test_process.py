"""What replaces blocked signals on a system without POSIX, and when garbage is collected.

The server's own tests show signals on other systems.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway import process

WAITS = """
import os, signal
from gateway.process import HandledStopSignals
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})  # whoever starts the tests may block them
signal.signal(signal.SIGINT, signal.default_int_handler)
stops = HandledStopSignals([signal.SIGTERM, signal.SIGINT])
os.kill(os.getpid(), signal.SIGTERM)
print(stops.wait().name, flush=True)
stops.end_on_second_interrupt()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_signals_that_cannot_be_blocked_are_noted_by_handlers() -> None:
    ended = subprocess.run([sys.executable, "-c", WAITS], capture_output=True, text=True, check=False)
    assert ended.stdout == "SIGTERM\n", ended.stderr
    assert ended.returncode == 128 + signal.SIGINT


def test_a_system_without_a_limit_of_files_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert process.raise_file_limit() == process.WANTED_OPEN_FILES


@pytest.fixture
def _kept_threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_kept_threshold")
@pytest.mark.parametrize(
    ("tasks", "threshold"), [(0, process.GC_THRESHOLD), (process.MANY_TASKS, process.BUSY_GC_THRESHOLD)]
)
async def test_garbage_collections_are_put_off_while_many_tasks_run(tasks: int, threshold: int) -> None:
    gc.set_threshold(1_000_000)
    ends = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(ends.wait())
        adapting = group.create_task(process.adapt_gc())
        await asyncio.sleep(0)
        adapting.cancel()
        ends.set()
    assert gc.get_threshold()[0] == threshold
