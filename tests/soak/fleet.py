"""The gateway's processes, as an operator starts them, and what may befall them."""

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
from tests.bench.servers import ROOT, free_port
from tests.bench.usage import usage_of

Kind = Literal["web", "worker"]

GRACE_SECONDS = 10
STOP_SECONDS = 20.0
"""Within which a process that was told to stop has ended: its grace time, and some for a busy machine."""
GREETINGS = ("Listening on", "Working with")
TOLD_OF_DEATH = 2_000
"""Characters of its log."""


@dataclass
class Process:
    """One process of the gateway. Started again, it has the same name and the same port."""

    name: str
    kind: Kind
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
        return self._alive().pid

    @property
    def died(self) -> bool:
        """By itself, if nobody did anything to it."""
        return self._alive().poll() is not None

    @property
    def rss_mb(self) -> float:
        return usage_of(self.pid).rss_mb

    def start(self) -> None:
        """Returns when it works. Raises RuntimeError when it ends instead, TimeoutError."""
        self.starts += 1
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "gateway", self.kind],
                cwd=self.folder,
                env={**_inherited(), **self.settings, "PORT": str(self.port), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._works, f"{self.name} does not start")

    def kill(self) -> None:
        """At once; it is dead when this returns."""
        running = self._alive()
        running.kill()
        running.wait()

    def stop(self) -> int:
        """Tell it to stop, and wait; its exit status, or minus the signal that had to end it."""
        running = self._alive()
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            return running.wait(STOP_SECONDS)
        self.kill()
        return running.wait()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def told(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-TOLD_OF_DEATH:]

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.{self.starts}.log"

    def _works(self) -> bool:
        if self.died:
            raise RuntimeError(f"{self.name} ended when it was started:\n{self.told()}")
        said = self._log.read_text(errors="replace")
        return any(greeting in said for greeting in GREETINGS)

    def _alive(self) -> subprocess.Popen[bytes]:
        assert self._running is not None, "it was never started"
        return self._running


class Fleet:
    """All of them. The first one is spared whatever befalls the others, so that its memory tells of the whole time."""

    def __init__(self, count: int, folder: Path, settings: Mapping[str, str]) -> None:
        kinds: list[Kind] = ["web" if number <= (count + 1) // 2 else "worker" for number in range(1, count + 1)]
        self.processes = [
            Process(f"{kind}-{number}", kind, folder, settings) for number, kind in enumerate(kinds, start=1)
        ]

    @property
    def spared(self) -> Process:
        return self.processes[0]

    @property
    def victims(self) -> Sequence[Process]:
        return self.processes[1:]

    def some_web(self, dice: Random) -> Process:
        """As a balancer takes one that does not look whether they are well."""
        return dice.choice([process for process in self.processes if process.kind == "web"])

    def end(self) -> None:
        for process in self.processes:
            if process.starts and not process.died:
                process.kill()


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
