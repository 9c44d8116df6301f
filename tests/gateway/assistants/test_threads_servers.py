"""Servers of the Assistants API that end a loop of tools, or lack routes."""

from __future__ import annotations

import json
from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.threads.backend import ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import AssistantRefused, TooManyRounds
from gateway.domain.models import ThreadId
from gateway.tools import ToolBox
from tests.contracts.assistant_online import add
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.raw_server import RawServer
from tests.fakes.shared_values import MemorySharedValues

CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.001, max_turn_tokens=250)
PNG = b"\x89PNG\r\n\x1a\n"
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
WAITING = {
    "object": "thread.run",
    "id": "run_1",
    "status": "requires_action",
    "required_action": {"submit_tool_outputs": {"tool_calls": [CALL]}},
}


def event(kind: str, data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def step(number: int) -> dict[str, object]:
    used = {"prompt_tokens": 90, "completion_tokens": 10}
    return {"id": f"step_{number}", "step_details": {"type": "tool_calls", "tool_calls": [CALL]}, "usage": used}


def make_session(raw: RawServer, client: openai.AsyncOpenAI, *, stream: bool = True) -> AssistantSession:
    raw.add_response(b'{"tools": []}')  # of the operator's assistant
    api, toolbox, config = AssistantApiClient(client), ToolBox([add]), replace(CONFIG, stream=stream)
    assistant = ServerAssistant(api, config, toolbox, MemorySharedValues(), "asst_1")
    return AssistantSession(ThreadsBackend(api, config, toolbox, assistant), thread_id=ThreadId("thread_1"))


async def test_a_loop_of_tools_ends_at_the_tokens_of_its_steps(raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
    session = make_session(raw, raw_client)
    for number in range(4):
        raw.add_stream(event("thread.run.step.completed", step(number)), event("thread.run.requires_action", WAITING))
    with pytest.raises(TooManyRounds):
        await session.say("1 + 2?")
    assert len(raw.requests) == 4, "the assistant, the run, and two submissions of outputs"


async def test_the_steps_are_fetched_where_they_are_not_streamed(
    raw: RawServer, raw_client: openai.AsyncOpenAI
) -> None:
    session = make_session(raw, raw_client, stream=False)
    for number in range(4):
        raw.add_response(json.dumps(WAITING).encode())
        steps = [step(each) for each in range(number + 1)]
        raw.add_response(json.dumps({"data": steps, "has_more": False}).encode())
    with pytest.raises(AssistantRefused):
        await session.say("1 + 2?")


async def test_a_server_without_files_is_sent_none_again(raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
    session = make_session(raw, raw_client)
    session.attachments_to_send = [make_attachment("cat.png", PNG)]
    raw.add_response(b'{"tools": []}')  # those that read files
    raw.add_response(b"{}", status="404 Not Found")
    for number in range(2):
        run = {"object": "thread.run", "id": f"run_{number}", "status": "completed"}
        content = [{"type": "text", "text": {"value": "No eyes.", "annotations": []}}]
        said = {"id": f"msg_{number}", "role": "assistant", "run_id": run["id"], "content": content}
        raw.add_stream(event("thread.message.completed", said), event("thread.run.completed", run))
        assert await session.say("Look") == "No eyes."
    assert sum(request.startswith(b"POST /v1/files") for request in raw.requests) == 1
