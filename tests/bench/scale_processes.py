"""Starts the programs of the scale scenes: core processes and a PostgreSQL server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.discord_processes import DiscordProcesses
from tests.bench.postgres_server import DatabaseServer, database_server
from tests.bench.scale_core import CoreOrder
from tests.bench.usage import usage_of


@dataclass(frozen=True)
class CoreProcess:
    """A process that runs scale_core.py."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def open(self, order: CoreOrder) -> None:
        self._command(json.dumps(asdict(order)), "ready")

    def start_accepting(self) -> None:
        """Starts accepting the messages; ``wait_until_accepted`` waits for the end."""
        self._write("")

    def wait_until_accepted(self) -> None:
        self._expect("taken")

    def close(self) -> None:
        self._command("", "closed")

    def cpu_seconds(self) -> float:
        return usage_of(self.process.pid).cpu_seconds

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        self.process.kill()

    def _command(self, line: str, word: str) -> None:
        self._write(line)
        self._expect(word)

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None, "the process has no pipe"
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def _expect(self, word: str) -> None:
        """Reads the expected word. Raises RuntimeError when the process prints anything else, or ends."""
        assert self.process.stdout is not None, "the process has no pipe"
        said = self.process.stdout.readline().strip()
        if said != word:
            raise RuntimeError(f"{self.name} printed {said!r} instead of {word!r}:\n{self.log.read_text()}")


class ScaleProcesses(DiscordProcesses):
    """Starts the programs of the scale scenes too."""

    def start_cores(self, count: int) -> list[CoreProcess]:
        """Starts so many core processes, concurrently."""
        started = [(name, self._start_module(name, ["tests.bench.scale_core"], {})) for name in _core_names(count)]
        for name, process in started:
            self._wait_for_line(process, "listening", name)
        return [CoreProcess(name, process, self._folder / f"{name}.log") for name, process in started]

    def database_server(self) -> AbstractContextManager[DatabaseServer]:
        return database_server(self._new_folder("postgres"))

    def sqlite_url(self, name: str) -> str:
        return f"sqlite:///{self._folder / name}.db"

    def _new_folder(self, name: str) -> Path:
        path = self._folder / name
        path.mkdir()
        return path


def _core_names(count: int) -> Iterator[str]:
    return (f"core-{number}" for number in range(1, count + 1))
