"""Threads that are loaded from a file, and threads that get an owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.openai_api.cli import ObjectsOfKeys, commands
from gateway.web.api.api_keys import ApiKeys
from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)

EXPORTED = [
    {
        "id": "msg_b",
        "object": "thread.message",
        "thread_id": "thread_kept",
        "created_at": 1700000002,
        "role": "assistant",
        "content": [{"type": "text", "text": {"value": "Hello Ann", "annotations": []}}],
        "assistant_id": "asst_old",
        "run_id": "run_old",
        "metadata": {},
    },
    {"id": "msg_a", "thread_id": "thread_kept", "created_at": 1700000001, "role": "user", "content": "I am Ann"},
]


def run(site: ApiSite, *arguments: str) -> tuple[int, str]:
    @contextmanager
    def opened() -> Iterator[ObjectsOfKeys]:
        yield ObjectsOfKeys(site.gateway.store.api_objects, ApiKeys(["key-one", "key-two"]).owners)

    (command,) = (each for each in commands(opened) if each.name == arguments[0])
    result = CliRunner().invoke(command, arguments[1:])
    said = result.output.splitlines()  # among what is logged meanwhile
    return result.exit_code, said[-1] if said and not result.exception else str(result.exception)


@pytest.mark.parametrize("form", ["lines", "list", "thread"])
def test_exported_messages_are_loaded_once_and_remembered(site: ApiSite, tmp_path: Path, form: str) -> None:
    thread = f"thread_kept_{form}"
    messages = [{**each, "thread_id": thread, "id": f"{each['id']}_{form}"} for each in EXPORTED]
    files = {
        "lines": "\n".join(map(json.dumps, messages)),
        "list": json.dumps({"object": "list", "data": messages}),
        "thread": json.dumps([{"id": thread, "object": "thread", "metadata": {"k": "v"}, "messages": messages}]),
    }
    file = tmp_path / "threads.json"
    file.write_text(files[form])
    assert run(site, "import-threads", str(file), "--key", "1") == (0, "Loaded. Threads: 1, messages: 2.")
    assert run(site, "import-threads", str(file), "--key", "1") == (0, "Loaded. Threads: 1, messages: 0.")
    assert run(site, "import-threads", str(file))[1].startswith("--key must be a number from 1 to 2")
    client = site.client()
    listed = list(client.beta.threads.messages.list(thread, order="asc"))
    assert [(each.id, each.created_at) for each in listed] == [
        (f"msg_a_{form}", 1700000001),
        (f"msg_b_{form}", 1700000002),
    ]
    client.beta.threads.messages.create(thread, role="user", content="who am I?")
    done = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id="asst_old")
    assert done.status == "completed"
    asked = site.fake.requests[-1].body["messages"]
    assert [each["content"] for each in asked[1:]] == ["I am Ann", "Hello Ann", "who am I?"]


def test_a_file_that_is_none_is_refused(site: ApiSite, tmp_path: Path) -> None:
    file = tmp_path / "threads.json"
    file.write_text('{"id": "thread_1"}\nnot json')
    assert run(site, "import-threads", str(file), "--key", "1")[1] == "Line 2 of the file is not JSON."
    file.write_bytes("é".encode("utf-16"))
    assert run(site, "import-threads", str(file), "--key", "1")[1].startswith(f"{file} is not UTF-8 text.")
