"""Runs ``python -m gateway serve`` as a process, with a fake OpenAI or a server with a model as its backend."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.conformance.local_model import LocalModel
from tests.fakes.openai_server import FakeOpenAI

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT_SECONDS = 40.0


class GatewayServeProcess:
    def __init__(self, folder: Path, server: FakeOpenAI | LocalModel, port: int, **settings: str) -> None:
        self.database_url = f"sqlite:///{folder}/gateway.db"
        self._log = folder / "gateway.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DATABASE_URL": self.database_url,
            "ASSISTANT_BACKEND": "responses",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": server.base_url,
            **settings,
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        assert "Listening" in self._process.stdout.readline(), self.log_text()

    def log_text(self) -> str:
        """Returns what it logged."""
        return self._log.read_text()

    @property
    def exit_status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.returncode

    def kill(self) -> None:
        """Kills it and waits until it has ended. Called from any thread."""
        self._process.kill()
        self._process.communicate()

    def close(self) -> None:
        """Stops it with SIGTERM and waits; kills it after STOP_TIMEOUT_SECONDS."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def free_port() -> int:
    """Returns a free port, chosen in advance because both processes need each other's URL before they start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
