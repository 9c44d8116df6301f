"""The attacked gateway: the real program in a process of its own, and what is measured of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import ROOT, free_port
from tests.bench.usage import usage_of

START_SECONDS = 60.0
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
LOG_TAIL_CHARS = 2000
MANY_FILES = 20_000
"""Open files that attacker and gateway may have."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    attack: str
    figure: str
    value: str
    wanted: str
    """What it must not exceed; empty where it is only told."""
    holds: bool | None = None
    """Whether it holds; None where nothing is wanted."""


@dataclass(frozen=True)
class AttackedGateway:
    """A running gateway."""

    url: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def rss_mb(self) -> float:
        return usage_of(self.process.pid).rss_mb

    @property
    def database(self) -> Path:
        return self.folder / "gateway.db"


@contextmanager
def attacked(folder: Path, settings: Mapping[str, str], *, data_limit: int | None = None) -> Iterator[AttackedGateway]:
    """Runs a gateway with these settings in a folder, where its log and its database stay.

    ``data_limit``: bytes of memory that the process may allocate (RLIMIT_DATA); None: any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "log"
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    defaults = {"HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", "CHAT_REQUESTS_PER_MINUTE": "0"}  # all have one address
    environment = {**defaults, **settings, "PORT": str(port), "PYTHONPATH": str(ROOT)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            cwd=folder,
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    if data_limit is not None:
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (data_limit, data_limit))
    try:
        wait_until(lambda: _is_listening(process, log), "the gateway did not start", START_SECONDS)
        yield AttackedGateway(f"http://127.0.0.1:{port}", port, folder, process)
    finally:
        process.kill()
        process.wait()


def allow_many_files() -> None:
    """Lets this process, and those that it starts, have as many connections as the attacks need, if the system does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if most == resource.RLIM_INFINITY else min(MANY_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def wait_until(condition: Callable[[], bool], message: str, seconds: float) -> float:
    """Polls until the condition holds; returns the seconds that it took. Raises TimeoutError with this message."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(message)
        time.sleep(0.02)
    return time.monotonic() - begun


def _is_listening(process: subprocess.Popen[bytes], log: Path) -> bool:
    said = log.read_text(errors="replace")
    if process.poll() is not None:
        raise RuntimeError(f"the gateway ended during its start:\n{said[-LOG_TAIL_CHARS:]}")
    return "Listening on" in said
