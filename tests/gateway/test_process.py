"""What replaces blocked signals on a system without POSIX. The server's own tests show the other."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
    from gateway import process  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "resource", None)
    assert process.raise_file_limit() == process.WANTED_OPEN_FILES
