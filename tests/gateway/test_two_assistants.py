"""Two assistants on different backends behind ``/chat``, in one process and in two, as the file describes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration import Configuration
from gateway.wiring.loading import load_settings
from gateway.wiring.running_gateway import Gateway
from tests.adapters.app_client import AppClient
from tests.fakes.openai_server import FakeOpenAI, HttpFault
from tests.gateway.served_gateway import run_gateway

FILE = """
[assistants.default]
backend = "offline"

[assistants.support]
backend = "chat"
base_url = "{url}"
model = "gpt-test"
name = "Help desk"
aliases = ["help"]
fallback = ["default"]

[[keys]]
name = "shop"
key = "key-of-the-shop"
assistants = ["support"]

[[keys]]
name = "all"
key = "key-for-all-of-them"
assistants = ["default", "support"]
"""


@dataclass
class Site:
    """The processes take turns."""

    processes: list[Gateway]
    clients: list[AppClient]
    fake: FakeOpenAI
    asked: int = 0

    def call(self, method: str, path: str, key: str = "key-for-all-of-them", **options: Any) -> Any:
        self.asked += 1
        client = self.clients[self.asked % len(self.clients)]
        return client.open(path, method=method, headers={"Authorization": f"Bearer {key}"}, **options)

    def say(self, message: str, key: str = "key-for-all-of-them", status: int = 200, **body: str) -> Any:
        answer = self.call("POST", "/chat", key, json={"message": message, **body})
        assert answer.status_code == status, answer.text
        return answer.json


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    fake: FakeOpenAI,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    (tmp_path / "gateway.toml").write_text(FILE.format(url=fake.base_url))
    with ExitStack() as stack:
        opened = [
            stack.enter_context(run_gateway(load_settings(quiet=True))) for _ in range(getattr(request, "param", 1))
        ]
        clients = [AppClient(each.web(), each.worker._loop) for each in opened]
        yield Site(opened, clients, fake)


@pytest.mark.parametrize("site", [1, 2], ids=["one process", "two processes"], indirect=True)
def test_a_caller_names_an_assistant_and_the_thread_stays_with_it(site: Site) -> None:
    first = site.say("one", assistant="help")
    assert first["assistant"] == "support"
    thread = first["thread_id"]
    assert site.say("two", thread_id=thread)["assistant"] == "support"
    assert "message 3 of our conversation" in site.say("three", thread_id=thread, assistant="default")["response"]
    assert site.say("four", thread_id=thread)["assistant"] == "default"
    view = site.call("GET", f"/chat/threads/{thread}").json
    assert (view["backend"], view["assistant"]) == ("offline", "default")
    assert [line["assistant"] for line in view["messages"][::2]] == ["support", "support", "default", "default"]
    asked = [each.body["messages"] for each in site.fake.posts("/chat/completions")]
    assert [message["content"] for message in asked[-1] if message["role"] == "user"] == ["one", "two"]


def test_an_assistant_that_there_is_not_is_refused_with_the_names_of_those_that_may_be_asked(site: Site) -> None:
    problem = site.say("hi", status=400, assistant="supprt")["error"]
    assert problem["code"] == "unknown_assistant"
    assert problem["message"] == "There is no assistant 'supprt' for you here. You may ask: default, support."


def test_a_key_is_bound_to_its_assistants(site: Site) -> None:
    answer = site.say("hi", "key-of-the-shop")
    assert answer["assistant"] == "support"
    problem = site.say("hi", "key-of-the-shop", 400, assistant="default")["error"]
    assert problem["message"].endswith("You may ask: support.")
    assert site.call("GET", f"/chat/turns/{answer['turn_id']}", "key-of-the-shop").json["assistant"] == "support"
    assert site.call("GET", f"/chat/turns/{answer['turn_id']}").status_code == 404


def test_a_caller_can_list_the_assistants_and_a_thread_says_which_is_next(site: Site) -> None:
    everybody = [{"name": "default", "title": "Assistant"}, {"name": "support", "title": "Help desk"}]
    assert site.call("GET", "/chat/assistants").json == {"assistants": everybody}
    assert site.call("GET", "/chat/assistants", "key-of-the-shop").json == {"assistants": everybody[1:]}
    assert site.call("GET", "/chat/assistants", "no-key").status_code == 401
    for asked in ("support", "default"):
        thread = site.say("hi", assistant=asked)["thread_id"]
        assert site.call("GET", f"/chat/threads/{thread}").json["next_assistant"] == asked


async def _replace(gateway: Gateway, configuration: Configuration) -> None:
    gateway.assistants.replace(configuration)


def test_a_key_that_a_reload_takes_away_is_no_key_any_more(site: Site) -> None:
    for each in site.processes:
        configured = each.configuration.get()
        without = type(configured)(configured.assistants, keys=configured.keys[1:])
        each.worker.run_coroutine(_replace(each, without))
    assert site.call("POST", "/chat", "key-of-the-shop", json={"message": "hi"}).status_code == 401
    assert site.call("GET", "/v1/models", "key-of-the-shop").status_code == 401
    assert site.say("hi")["assistant"] == "default"


def test_an_idempotency_key_holds_for_one_assistant(site: Site) -> None:
    def send(**body: str) -> Any:
        key = {"Authorization": "Bearer key-for-all-of-them", "Idempotency-Key": "1"}
        return site.clients[0].post("/chat", json={"message": "hi", **body}, headers=key)

    assert send(assistant="support").json["assistant"] == "support"
    assert send(assistant="support").status_code == 200
    assert send(assistant="default").status_code == 409


def test_the_assistant_in_its_place_answers_and_is_named(site: Site) -> None:
    site.fake.faults.add(HttpFault(path="/chat/completions", status=401))
    answer = site.say("hi", assistant="support")
    assert answer["assistant"] == "default"
    assert site.say("hi", thread_id=answer["thread_id"])["assistant"] == "support"
