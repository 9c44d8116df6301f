"""Starts, kills, stops and freezes the gateway's processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from tests.bench.loading import wait_until
from tests.bench.processes import ROOT, free_port
from tests.bench.usage import usage_of

ProcessKind = Literal["web", "worker"]

GRACE_SECONDS = 10
STOP_SECONDS = 20.0
"""Seconds within which a stopped process must end: its grace time, and some for a busy machine."""
READY_LINES = ("Listening on", "Worker started with")
LOG_TAIL_CHARS = 2_000
"""Characters of the log that an error message shows."""


@dataclass
class FleetProcess:
    """One process of the gateway. It keeps its name and port when it is started again."""

    name: str
    kind: ProcessKind
    folder: Path
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)
    starts: int = 0
    _running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._started().poll() is not None

    @property
    def rss_mb(self) -> float:
        return usage_of(self.pid).rss_mb

    def start(self) -> None:
        """Starts it and waits until it is ready. Raises RuntimeError when it ends instead, and TimeoutError."""
        self.starts += 1
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "gateway", self.kind],
                cwd=self.folder,
                env={**_inherited_environment(), **self.settings, "PORT": str(self.port), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # without a terminal, SIGHUP means to reload
            )
        wait_until(self._is_ready, f"{self.name} did not get ready")

    def kill(self) -> None:
        """Kills it and waits until it has ended."""
        running = self._started()
        running.kill()
        running.wait()

    def stop(self) -> int:
        """Stops it with SIGTERM and returns its exit status, or minus the signal that ended it."""
        running = self._started()
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            return running.wait(STOP_SECONDS)
        self.kill()
        return running.wait()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> bool:
        """Makes it read its file anew, and waits until it has; returns whether it took that up."""
        before = self._outcomes()
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: self._outcomes() != before, f"{self.name} did not reload")
        return self._outcomes()[1] == before[1]

    def _outcomes(self) -> tuple[int, int]:
        """Returns how often it has reloaded and refused to."""
        text = self._log.read_text(errors="replace")
        return text.count("configuration reloaded"), text.count("configuration not reloaded")

    def log_tail(self) -> str:
        """Returns the end of its log."""
        return self._log.read_text(errors="replace")[-LOG_TAIL_CHARS:]

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.{self.starts}.log"

    def _is_ready(self) -> bool:
        if self.has_ended:
            raise RuntimeError(f"{self.name} ended during its start:\n{self.log_tail()}")
        text = self._log.read_text(errors="replace")
        return any(greeting in text for greeting in READY_LINES)

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._running is not None, "the process was never started"
        return self._running


class Fleet:
    """All processes. The first one is never disturbed, so that its memory shows the whole run."""

    def __init__(self, count: int, folder: Path, settings: Mapping[str, str]) -> None:
        kinds: list[ProcessKind] = ["web" if number <= (count + 1) // 2 else "worker" for number in range(1, count + 1)]
        self.processes = [
            FleetProcess(f"{kind}-{number}", kind, folder, settings) for number, kind in enumerate(kinds, start=1)
        ]
        self._file = folder / "gateway.toml"
        self.change_file(0)

    @property
    def undisturbed(self) -> FleetProcess:
        return self.processes[0]

    @property
    def disturbable(self) -> Sequence[FleetProcess]:
        return self.processes[1:]

    def random_web(self, rng: Random) -> FleetProcess:
        """Returns a random web process, as a load balancer without health checks does."""
        return rng.choice([process for process in self.processes if process.kind == "web"])

    def change_file(self, number: int) -> None:
        """Writes the file that all processes read, with another assistant for each number."""
        new = self._file.with_suffix(".new")
        new.write_text(f'[assistants.default]\nname = "Robin the {number}th"\n')
        new.replace(self._file)

    def kill_all(self) -> None:
        for process in self.processes:
            if process.starts and not process.has_ended:
                process.kill()


def _inherited_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
