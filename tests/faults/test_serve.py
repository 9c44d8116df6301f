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
            )
        assert self.process.stdout is not None
        self.greeting = [self.process.stdout.readline() for _ in range(3)]
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
    assert program.greeting[1].startswith(f"Data: {tmp_path}/gateway.db.")
    assert program.greeting[2].startswith(f"Try: curl {program.url}/chat -H")
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
