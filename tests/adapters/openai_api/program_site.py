"""A whole gateway that serves OpenAI's API on loopback, with a fake of the assistant's server behind it."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.app import Gateway, open_gateway, open_store, platforms
from gateway.settings import Settings
from gateway.web.connections import Limits
from gateway.web.server import HttpServer
from tests.fakes.openai_server import FakeOpenAI

KEY = "key-of-ann"
OTHER_KEY = "key-of-bob"


@dataclass(frozen=True)
class ProgramSite:
    """A gateway and what it asks. ``client``: the SDK, which checks every answer strictly."""

    url: str
    fake: FakeOpenAI
    gateway: Gateway
    client: openai.OpenAI
    database: Path

    def other_client(self, **options: Any) -> openai.OpenAI:
        return sdk(self.url, OTHER_KEY, **options)

    def count(self, table: str) -> int:
        """Returns how many rows a table has."""
        with closing(sqlite3.connect(self.database)) as database:
            found: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # of the test
        return found

    def sent(self) -> dict[str, Any]:
        """Returns the newest request to the model."""
        path = "/chat/completions" if self.gateway.assistant.name == "chat" else "/responses"
        body: dict[str, Any] = self.fake.posts(path)[-1].body
        return body

    def said(self) -> list[Any]:
        """Returns what the newest request to the model has as messages, or as input."""
        body = self.sent()
        found: list[Any] = body["messages"] if "messages" in body else body["input"]
        return found


def until(what: Callable[[], object]) -> None:
    """Waits for something that happens after the answer."""
    end = time.monotonic() + 10.0
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def sdk(url: str, key: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{url}/v1", api_key=key, max_retries=0, _strict_response_validation=True, timeout=20.0, **options
    )


@contextmanager
def open_site(folder: Path, backend: str, **environment: str) -> Iterator[ProgramSite]:
    """Runs a gateway on a database in ``folder``, configured without the machine's `.env`."""
    with FakeOpenAI() as fake, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        known = {
            "ASSISTANT_BACKEND": backend,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": fake.base_url,
            "GATEWAY_API_KEYS": f"{KEY},{OTHER_KEY}",
            "ASSISTANT_INSTRUCTIONS": "You are ours.",
            "DATABASE_URL": f"sqlite:///{folder}/program.db",
        }
        for name, value in (known | environment).items():
            patch.setenv(name, value)
        settings = Settings.load()
        store = open_store(settings)
        adapters = platforms(settings, store)
        gateway = open_gateway(settings, adapters, store)
        try:
            with _serving(gateway) as url:
                yield ProgramSite(url, fake, gateway, sdk(url, KEY), folder / "program.db")
        finally:
            gateway.drain(0.0)
            gateway.close(0.5)


@contextmanager
def _serving(gateway: Gateway) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(gateway.web(), Limits())
    gateway.worker.run_coroutine(server.start(listener))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        gateway.worker.run_coroutine(server.stop(0.5))
