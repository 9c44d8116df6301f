"""The gateway talks with a real small model: turns, streaming, a tool, a stop, and a restart in between."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.local_model import MODEL_NAME, LocalModel
from tests.conformance.pypi import WheelUnavailable
from tests.conformance.serve_process import GatewayServeProcess, free_port

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(1800)]

Json = dict[str, Any]
TIMEOUT_SECONDS = 120.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalModel]:
    try:
        model = LocalModel(tmp_path_factory.mktemp("llama"))
    except WheelUnavailable as reason:
        pytest.skip(f"llama.cpp and its model are not available: {reason}")
    with closing(model):
        yield model


class Caller:
    """A program that calls ``/chat``."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def post(self, path: str, body: Json) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
            return content

    def say(self, message: str, thread_id: str | None = None) -> Json:
        thread = {"thread_id": thread_id} if thread_id else {}
        answer: Json = json.loads(self.post("/chat", {"message": message, **thread}))
        return answer

    def stream(self, message: str, thread_id: str | None = None) -> Iterator[tuple[str, Json]]:
        """Yields the events of a streamed answer, by name."""
        thread = {"thread_id": thread_id} if thread_id else {}
        body = json.dumps({"message": message, **thread, "stream": True}).encode()
        request = urllib.request.Request(f"{self._url}/chat", body, {"Content-Type": "application/json"})
        name = ""
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            for line in answer:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                name = value if field == "event" else name
                if field == "data":
                    yield name, json.loads(value)


def test_five_turns_with_tools_streaming_a_stop_and_a_restart(model: LocalModel, tmp_path: Path) -> None:
    port = free_port()
    caller = Caller(port)
    settings = {"ASSISTANT_BACKEND": "chat", "OPENAI_MODEL": MODEL_NAME, "ASSISTANT_INSTRUCTIONS": "Be brief."}

    def start() -> GatewayServeProcess:
        return GatewayServeProcess(tmp_path, model, port, **settings)

    with closing(start()):
        thread = _first_turns(caller)
        assert _stopped(caller, thread) == "cancelled"
    with closing(start()) as gateway:
        assert "Ada" in caller.say("What is my name?", thread)["response"]
        assert "refuses" not in gateway.log_text()


def _first_turns(caller: Caller) -> str:
    """Says three things, of which the first needs a tool and the third is streamed. Returns the thread."""
    events = list(caller.stream("What is 17*23?"))
    thread: str = events[0][1]["thread_id"]
    assert [data["name"] for name, data in events if name == "tool"] == ["calculate"]
    assert "391" in events[-1][1]["response"]
    assert caller.say("My name is Ada.", thread)["response"]
    events = list(caller.stream("What is the capital of France?", thread))
    assert "".join(data["text"] for name, data in events if name == "delta") == events[-1][1]["response"]
    assert "Paris" in events[-1][1]["response"]
    return thread


def _stopped(caller: Caller, thread: str) -> str:
    """Stops an answer while it is streamed. Returns the state of its turn."""
    turn, state = "", ""
    for name, data in caller.stream("Count from 1 to 100: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,", thread):
        turn = turn or data["turn_id"]
        if name == "delta" and not state:
            state = json.loads(caller.post(f"/chat/turns/{turn}/cancel", {}))["state"]
    return state
