"""The page at `/docs`: its examples run against a gateway, its routes are grouped, its forms fit the document."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from gateway.push import routes as push_routes
from gateway.web import metrics_endpoint
from gateway.web.chat_page import PAGES
from gateway.web.docs_page import EXAMPLES, LANGUAGES, Documentation, TryField
from gateway.web.health import OPERATIONS
from tests.adapters.chat import Chat
from tests.browser.site import open_site

INTERPRETERS = {"sh": ("curl", "sh"), "py": (sys.executable, sys.executable), "mjs": ("node", "node")}
"""What an example needs, and what runs it, by suffix."""
NAMES = [name for examples in EXAMPLES.values() for name, _ in examples]


class Served:
    """A gateway with the offline assistant, and one turn."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.file = folder / "note.txt"
        self.file.write_text("It says nothing.")
        self.said = self.post("Good morning")

    def post(self, text: str) -> Any:
        return self._fetch("/chat", json.dumps({"message": text}).encode())

    def attached(self, thread_id: str) -> list[str]:
        """Returns the names of the files that came with the first message of a thread."""
        names: list[str] = self._fetch(f"/chat/threads/{thread_id}")["messages"][0]["attached"]
        return names

    def _fetch(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": "Bearer key-one", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, body, headers), timeout=20) as response:
            return json.load(response)

    def run(self, name: str, suffix: str) -> str:
        """Runs an example as a reader does; returns what it prints. Skips the test without its language."""
        needed, command = INTERPRETERS[suffix]
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} not found")
        told = {"GATEWAY_URL": self.url, "GATEWAY_KEY": "key-one", "FILE": str(self.file)}
        ran = subprocess.run(
            [command, PAGES / "docs_examples" / f"{name}.{suffix}"],
            env=os.environ | told | {"TURN_ID": self.said["turn_id"]},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout


@pytest.fixture(scope="module")
def served(empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("docs")
    url = f"sqlite:///{shutil.copy(empty_sqlite, folder / 'gateway.db')}"
    with open_site(url, ASSISTANT_BACKEND="offline", GATEWAY_API_KEYS="key-one") as site:
        yield Served(site.url, folder)


@pytest.mark.parametrize("suffix", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_what_its_title_says(served: Served, name: str, suffix: str) -> None:
    printed = served.run(name, suffix)
    match name:
        case "turn":
            assert "Good morning" in printed
        case "stream":
            assert printed.index("turn") < printed.index("delta") < printed.index("Hello") < printed.index("done")
        case "file":
            assert "What does this say?" in printed
            if suffix == "sh":
                assert served.attached(json.loads(printed)["thread_id"]) == ["note.txt"]
        case _:
            assert "Hello" in printed


def test_every_example_is_shown_and_no_other_is_there() -> None:
    there = {path.name for path in (PAGES / "docs_examples").iterdir() if path.is_file()}
    assert there == {f"{name}.{suffix}" for name in NAMES for suffix in LANGUAGES}


@pytest.fixture(scope="module")
def documentation() -> Documentation:
    chat = Chat()
    chat.close()
    operations = (*chat.adapter.operations(), *push_routes.OPERATIONS, *metrics_endpoint.operations("token"))
    return Documentation((*OPERATIONS, *operations))


def test_routes_are_grouped_by_what_they_are_for(documentation: Documentation) -> None:
    groups = {title: {each.path for each in shown} for title, shown in documentation.groups.items()}
    assert list(groups) == ["Chat", "Messages from programs", "Health and metrics"]
    assert groups["Health and metrics"] == {"/healthz", "/readyz", "/metrics"}
    shown = [each.described["operationId"] for operations in documentation.groups.values() for each in operations]
    assert len(shown) == len(set(shown)) == sum(map(len, documentation.document["paths"].values()))


def test_a_form_has_a_field_for_all_that_a_route_takes(documentation: Documentation) -> None:
    fields = {each.described["operationId"]: each.fields for shown in documentation.groups.values() for each in shown}
    assert fields["chat"] == (
        TryField("Idempotency-Key", "header", "text"),
        TryField("Prefer", "header", "text"),
        TryField("message", "body", "long", is_required=True),
        TryField("thread_id", "body", "text"),
        TryField("user", "body", "text"),
        TryField("assistant", "body", "text"),
        TryField("stream", "body", "choice", choices=["true", "false"]),
        TryField("callback_url", "body", "long"),
        TryField("files", "body", "files"),
    )
    assert fields["show_turn"] == (
        TryField("turn_id", "path", "text", is_required=True),
        TryField("Accept", "header", "choice", choices=["application/json", "text/event-stream"]),
    )
    assert fields["rate_turn"][1] == TryField("value", "body", "choice", is_required=True, choices=['"good"', '"bad"'])
    assert fields["show_thread"][1] == TryField("before", "query", "text")
    assert fields["push_message"][1] == TryField("platform", "body", "text", is_required=True)
