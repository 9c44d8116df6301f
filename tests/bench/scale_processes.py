"""Starts the programs of the scale scenes: core processes and a PostgreSQL server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.postgres_server import DatabaseServer, database_server
from tests.bench.scale_core import Order
from tests.bench.telegram_processes import TelegramFolder


@dataclass(frozen=True)
class Core:
    """A process that runs scale_core.py."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def open(self, order: Order) -> None:
        self._tell(json.dumps(asdict(order)), "ready")

    def take(self) -> None:
        """Starts accepting the messages; ``wait_until_accepted`` waits for the end."""
        self._write("")

    def taken(self) -> None:
        self._expect("taken")

    def close(self) -> None:
        self._tell("", "closed")

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        self.process.kill()

    def _tell(self, line: str, word: str) -> None:
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


class ScaleFolder(TelegramFolder):
    """Starts the programs of the scale scenes too."""

    def cores(self, count: int) -> list[Core]:
        """Starts so many core processes, concurrently."""
        started = [(name, self._start(name, ["tests.bench.scale_core"], {})) for name in _names(count)]
        for name, process in started:
            self._first_line(process, "listening", name)
        return [Core(name, process, self._path / f"{name}.log") for name, process in started]

    def database_server(self) -> AbstractContextManager[DatabaseServer]:
        return database_server(self._own("postgres"))

    def sqlite_url(self, name: str) -> str:
        return f"sqlite:///{self._path / name}.db"

    def _own(self, name: str) -> Path:
        path = self._path / name
        path.mkdir()
        return path


def _names(count: int) -> Iterator[str]:
    return (f"core-{number}" for number in range(1, count + 1))
