"""Starts the measured programs and the fake OpenAI, each as its own process, in a temporary folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from tests.bench.plan import CALLERS, Backend
from tests.bench.usage import ProcessUsage, connections_to, usage_of
from tests.fakes.openai_threads import ASSISTANT_ID

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 5.0
TUTORIAL_THREADS = CALLERS + 14


@dataclass(frozen=True)
class BenchServer:
    """A process that listens on a port."""

    name: str
    url: str
    process: subprocess.Popen[str]

    def usage(self) -> ProcessUsage:
        return usage_of(self.process.pid)

    def connections(self) -> int:
        """Returns the number of open connections to it."""
        return connections_to(urlsplit(self.url).port or 0)


class BenchProcesses:
    """Starts programs in a separate folder, without a ``.env`` or an existing database, and stops them."""

    def __init__(self, path: Path) -> None:
        self._folder = path
        self._running: list[subprocess.Popen[str]] = []

    @contextmanager
    def start_fake_openai(self, *, chunk_delay: float = 0.0, think: float = 0.0) -> Iterator[BenchServer]:
        """Runs a fake OpenAI during the block; at its end stops everything that was started since."""
        options = ["--port", "0", "--quiet", "--chunk-delay", str(chunk_delay), "--think", str(think)]
        process = self._start_module("fake", ["tests.fakes.openai_server", *options], {})
        try:
            yield BenchServer("fake", self._wait_for_line(process, "http", "fake"), process)
        finally:
            self.stop()

    def start_gateway(
        self, fake: BenchServer, backend: Backend, name: str, module: Sequence[str] = ("gateway", "serve"), **more: str
    ) -> BenchServer:
        """Starts a gateway. ``module``: arguments of ``python -m``. ``more``: additional settings."""
        port = free_port()
        settings = {
            "ASSISTANT_BACKEND": backend,
            "CHAT_REQUESTS_PER_MINUTE": "0",  # all callers have one address
            "DATABASE_URL": f"sqlite:///{name}-{port}.db",  # not the database of an earlier process with that name
            "HOST": "127.0.0.1",
            "LOG_LEVEL": "WARNING",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": fake.url,
            "OPENAI_MODEL": "gpt-test",
            "PORT": str(port),
            **more,
        }
        if backend == "threads":
            settings["ASST_ID"] = ASSISTANT_ID
        process = self._start_module(name, module, settings)
        self._wait_for_line(process, "Listening", name)
        return BenchServer(name, f"http://127.0.0.1:{port}", process)

    def start_watched_gateway(self, fake: BenchServer, backend: Backend) -> tuple[BenchServer, Path]:
        """Starts a gateway that measures how long its event loop is held up; returns it and where it writes that."""
        file = self._folder / "stalls.json"
        module = ("tests.bench.watched_gateway", str(file))
        return self.start_gateway(fake, backend, f"watched-{backend}", module), file

    def start_tutorial(self, fake: BenchServer, *, sleep_first: bool = False) -> BenchServer:
        port = free_port()
        factory = f"make_app({fake.url!r}, {ASSISTANT_ID!r}, sleep_first={sleep_first})"
        serving = ["--worker-class", "gthread", "--threads", str(TUTORIAL_THREADS), "--keep-alive", "75"]
        command = ["gunicorn", *serving, "--bind", f"127.0.0.1:{port}", f"tests.bench.tutorial:{factory}"]
        name = "tutorial, patient" if sleep_first else "tutorial"
        process = self._start_module(name, command, {})
        self._wait_for_line(process, "Booting worker", name)
        return BenchServer(name, f"http://127.0.0.1:{port}", process)

    def stop(self) -> None:
        """Stops the last started first, so that no program loses a server that it uses."""
        while self._running:
            process = self._running.pop()
            os.killpg(process.pid, signal.SIGKILL)  # killing only the master would leave gunicorn's worker running
            process.communicate(timeout=STOP_SECONDS)

    def _start_module(self, name: str, module: Iterable[str], settings: Mapping[str, str]) -> subprocess.Popen[str]:
        return self._start_command(name, [sys.executable, "-m", *module], settings)

    def _start_command(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> subprocess.Popen[str]:
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        process = subprocess.Popen(
            command,
            cwd=self._folder,
            env={**inherited, "PYTHONPATH": str(ROOT), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log(name),
            text=True,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def _log(self, name: str) -> IO[str] | int:
        # gunicorn reports its start on stderr
        return subprocess.STDOUT if name.startswith("tutorial") else (self._folder / f"{name}.log").open("w")

    def _wait_for_line(self, process: subprocess.Popen[str], with_text: str, name: str) -> str:
        """Waits for the line that a program prints when it is ready. Raises RuntimeError when it ends instead."""
        if process.stdout is not None:
            for line in process.stdout:
                if with_text in line:
                    return line.strip()
        said = ""
        with suppress(OSError):
            said = (self._folder / f"{name}.log").read_text()
        raise RuntimeError(f"{name} did not start\n{said}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
