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
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import FakeOpenAI, HttpFault
from tests.greeting import read_greeting

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 40.0


class ServeProcess:
    """A process running ``python -m gateway serve`` on a free port."""

    def __init__(self, folder: Path, fake: FakeOpenAI, **settings: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATABASE_URL": f"sqlite:///{folder}/gateway.db",
            "ASSISTANT_BACKEND": "responses",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": fake.base_url,
            **settings,
        }
        with (folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # without a terminal, as a service is
            )
        self.environment = environment
        assert self.process.stdout is not None
        self.greeting = read_greeting(self.process.stdout)
        self.url = self.greeting[0].split(" with ")[0].removeprefix("Listening on ")

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

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(TIMEOUT_SECONDS)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def programs() -> Iterator[list[ServeProcess]]:
    started: list[ServeProcess] = []
    yield started
    for program in started:
        program.close()


def hold_next_run(fake: FakeOpenAI) -> threading.Event:
    """Holds the next response until the returned event is set."""
    gate = threading.Event()
    fake.faults.add(HttpFault(path="/responses", gate=gate))
    return gate


def test_serve_says_where_it_is_and_answers_a_waiting_caller_when_it_is_stopped(
    tmp_path: Path, fake: FakeOpenAI, programs: list[ServeProcess]
) -> None:
    programs.append(program := ServeProcess(tmp_path, fake))
    assert "responses at 127.0.0.1" in program.greeting[0]
    assert "gpt-test" in program.greeting[0]
    facts = dict(line.split(maxsplit=1) for line in program.greeting[1:])
    assert facts["platforms"] == "http, openai\n"
    assert facts["data"] == f"{tmp_path}/gateway.db\n"
    assert facts["try"].startswith(f"curl {program.url}/chat -H")
    assert program.chat("Hello")[1]["response"] == "You said: Hello"
    gate = hold_next_run(fake)
    answers: list[tuple[int, dict[str, Any]]] = []
    caller = threading.Thread(target=lambda: answers.append(program.chat("Hello")))
    caller.start()
    fake.wait_for("POST", "/responses", 2)
    program.process.send_signal(signal.SIGTERM)
    gate.set()
    caller.join()
    assert answers[0][0] == 200
    assert answers[0][1]["response"] == "You said: Hello"
    assert program.process.wait(TIMEOUT_SECONDS) == 0


def test_a_turn_that_outlasts_the_grace_period_is_released_to_the_next_process(
    tmp_path: Path, fake: FakeOpenAI, programs: list[ServeProcess]
) -> None:
    programs.append(first := ServeProcess(tmp_path, fake, GRACE_SECONDS="1"))
    gate = hold_next_run(fake)
    answers: list[tuple[int, dict[str, Any]]] = []
    caller = threading.Thread(target=lambda: answers.append(first.chat("Hello")))
    caller.start()
    fake.wait_for("POST", "/responses")
    assert first.stop(signal.SIGTERM) == 0
    caller.join()
    status, answer = answers[0]
    assert status in (503, 504)
    gate.set()
    programs.append(second := ServeProcess(tmp_path, fake))
    shown = second.wait_for_turn(answer["error"]["turn_id"])
    assert shown["response"] == "You said: Hello"
    assert [fake.user_texts(name) for name in fake.conversations] == [["Hello"]]


def test_a_changed_file_is_taken_up_while_a_turn_runs(
    tmp_path: Path, fake: FakeOpenAI, programs: list[ServeProcess]
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[assistants.default]\ninstructions = "One"\n')
    programs.append(program := ServeProcess(tmp_path, fake))
    gate = hold_next_run(fake)
    turn = program.chat_async("Held")
    fake.wait_for("POST", "/responses")
    file.write_text('[assistants.default]\ninstructions = "Two"\n')
    program.process.send_signal(signal.SIGHUP)
    wait_for_log(tmp_path, "configuration reloaded")
    assert program.chat("New")[1]["response"] == "You said: New"
    gate.set()
    assert program.wait_for_turn(turn)["response"] == "You said: Held"
    assert [seen.body["instructions"] for seen in fake.posts("/responses")] == ["One", "Two"]

    file.write_text('[assistants.default]\ninstructions = "${NOT_SET}"\n')
    program.process.send_signal(signal.SIGHUP)
    wait_for_log(tmp_path, "the one before stays in force")
    file.write_text('[assistants.default]\ninstructions = "Three"\n')
    asked = run_command(program, tmp_path, "reload")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.endswith(": reloaded: assistants.default (changed)\n")
    program.chat("Newest")
    assert fake.posts("/responses")[-1].body["instructions"] == "Three"
    assert program.stop(signal.SIGTERM) == 0


def wait_for_log(folder: Path, text: str) -> None:
    pause = threading.Event()
    for _ in range(400):
        if text in (folder / "log").read_text():
            return
        pause.wait(0.05)
    raise AssertionError((folder / "log").read_text())


def run_command(program: ServeProcess, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *command],
        cwd=folder,
        env=program.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
