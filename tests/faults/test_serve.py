"""The real program is stopped while callers wait, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from tests.fakes.openai_server import FakeOpenAI, HttpFault
from tests.faults.gateway_process import GatewayProcess, url_in
from tests.greeting import read_greeting

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 40.0


def environment_of(database_url: str, fake: FakeOpenAI, **settings: str) -> dict[str, str]:
    return {
        "HOST": "127.0.0.1",
        "PORT": "0",
        "DATABASE_URL": database_url,
        "ASSISTANT_BACKEND": "responses",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_MODEL": "gpt-test",
        "OPENAI_BASE_URL": fake.base_url,
        **settings,
    }


@dataclass(frozen=True)
class Caller:
    """Calls a gateway as programs do."""

    url: str

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def chat(self, message: str) -> tuple[int, dict[str, Any]]:
        return self.request("POST", "/chat", {"message": message})

    def chat_async(self, message: str) -> str:
        status, answer = self.request("POST", "/chat", {"message": message}, Prefer="respond-async")
        assert status == 202
        return str(answer["turn_id"])

    def wait_for_turn(self, turn: str) -> dict[str, Any]:
        """Waits until a turn is delivered, by polling; returns it."""
        pause = threading.Event()
        for _ in range(400):
            _, shown = self.request("GET", f"/chat/turns/{turn}")
            if shown["state"] == "delivered":
                return shown
            pause.wait(0.1)
        raise AssertionError(shown)


@contextmanager
def run_program(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Runs ``python -m gateway serve`` on a free port."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # without a terminal, as a service is
        )
    with process:
        yield process
        process.kill()


@pytest.fixture
def start(tmp_path: Path, fake: FakeOpenAI, sqlite_url: str) -> Iterator[Callable[..., GatewayProcess]]:
    """Starts processes on one database. They are forked: only the first test is about the start itself."""
    with ExitStack() as resources:

        def start(**settings: str) -> GatewayProcess:
            process = GatewayProcess(tmp_path, environment_of(sqlite_url, fake, **settings))
            resources.callback(process.kill)
            return process

        yield start


def hold_next_run(fake: FakeOpenAI) -> threading.Event:
    """Holds the next response until the returned event is set."""
    gate = threading.Event()
    fake.faults.add(HttpFault(path="/responses", gate=gate))
    return gate


def test_serve_says_where_it_is_and_answers_a_waiting_caller_when_it_is_stopped(
    tmp_path: Path, fake: FakeOpenAI
) -> None:
    environment = environment_of(f"sqlite:///{tmp_path}/gateway.db", fake)
    with run_program(tmp_path, environment) as program:
        assert program.stdout is not None
        greeting = read_greeting(program.stdout)
        caller = Caller(url_in(greeting))
        assert "responses at 127.0.0.1" in greeting[0]
        assert "gpt-test" in greeting[0]
        facts = dict(line.split(maxsplit=1) for line in greeting[1:])
        assert facts["platforms"] == "http, openai\n"
        assert facts["data"] == f"{tmp_path}/gateway.db\n"
        assert facts["try"].startswith(f"curl {caller.url}/chat -H")
        assert caller.chat("Hello")[1]["response"] == "You said: Hello"
        gate = hold_next_run(fake)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(caller.chat, "Hello")
            fake.wait_for("POST", "/responses", 2)
            program.send_signal(signal.SIGTERM)
            gate.set()
        assert waiting.result()[0] == 200
        assert waiting.result()[1]["response"] == "You said: Hello"
        assert program.wait(TIMEOUT_SECONDS) == 0


def test_a_turn_that_outlasts_the_grace_period_is_released_to_the_next_process(
    fake: FakeOpenAI, start: Callable[..., GatewayProcess]
) -> None:
    first = start(GRACE_SECONDS="0.3")
    gate = hold_next_run(fake)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(Caller(first.url).chat, "Hello")
        fake.wait_for("POST", "/responses")
        first.terminate()
        assert first.wait_for_exit() == 0
    status, answer = waiting.result()
    assert status in (503, 504)
    gate.set()
    shown = Caller(start().url).wait_for_turn(answer["error"]["turn_id"])
    assert shown["response"] == "You said: Hello"
    assert [fake.user_texts(name) for name in fake.conversations] == [["Hello"]]


def test_a_changed_file_is_taken_up_while_a_turn_runs(
    tmp_path: Path,
    fake: FakeOpenAI,
    sqlite_url: str,
    start: Callable[..., GatewayProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[assistants.default]\ninstructions = "One"\n')
    program = start()
    caller = Caller(program.url)
    gate = hold_next_run(fake)
    turn = caller.chat_async("Held")
    fake.wait_for("POST", "/responses")
    file.write_text('[assistants.default]\ninstructions = "Two"\n')
    program.hang_up()
    wait_for_log(tmp_path, "configuration reloaded")
    assert caller.chat("New")[1]["response"] == "You said: New"
    gate.set()
    assert caller.wait_for_turn(turn)["response"] == "You said: Held"
    assert [seen.body["instructions"] for seen in fake.posts("/responses")] == ["One", "Two"]

    file.write_text('[assistants.default]\ninstructions = "${NOT_SET}"\n')
    program.hang_up()
    wait_for_log(tmp_path, "the one before stays in force")
    file.write_text('[assistants.default]\ninstructions = "Three"\n')
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(main, ["reload"], env=environment_of(sqlite_url, fake))
    assert asked.exit_code == 0, asked.output
    assert asked.stdout.endswith(": reloaded: assistants.default (changed)\n")
    caller.chat("Newest")
    assert fake.posts("/responses")[-1].body["instructions"] == "Three"
    program.terminate()
    assert program.wait_for_exit() == 0


def wait_for_log(folder: Path, text: str) -> None:
    pause = threading.Event()
    for _ in range(400):
        if text in (folder / "log").read_text():
            return
        pause.wait(0.05)
    raise AssertionError((folder / "log").read_text())
