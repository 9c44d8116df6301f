"""A gateway as programs see it that speak chat completions or responses, and what it asks its assistant's server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import openai

from tests.adapters.openai_api.site import ApiSite, open_api
from tests.fakes.openai_server import FakeOpenAI

KEY = "key-one"


@dataclass
class ProgramSite:
    backend: str
    api: ApiSite
    database: str

    @property
    def fake(self) -> FakeOpenAI:
        return self.api.fake

    @cached_property
    def client(self) -> openai.OpenAI:
        """The SDK, which checks every answer strictly."""
        return self.api.client()

    @cached_property
    def other_client(self) -> openai.OpenAI:
        return self.api.client("key-two")

    @property
    def run_path(self) -> str:
        """The path that asks the model."""
        return "/chat/completions" if self.backend == "chat" else "/responses"

    def count(self, table: str) -> int:
        """Returns how many rows a table has."""
        with closing(sqlite3.connect(self.database)) as database:
            found: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # of the test
        return found

    def sent(self) -> dict[str, Any]:
        """Returns the newest request to the model."""
        body: dict[str, Any] = self.fake.posts(self.run_path)[-1].body
        return body

    def said(self) -> list[Any]:
        """Returns what the newest request to the model has as messages, or as input."""
        body = self.sent()
        found: list[Any] = body["messages"] if "messages" in body else body["input"]
        return found


@contextmanager
def open_site(database_url: str, backend: str) -> Iterator[ProgramSite]:
    with open_api(database_url, ASSISTANT_BACKEND=backend, ASSISTANT_INSTRUCTIONS="You are ours.") as api:
        yield ProgramSite(backend, api, database_url.removeprefix("sqlite:///"))
