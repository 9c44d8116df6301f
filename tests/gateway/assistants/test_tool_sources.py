"""Tools that come and go, and what they return beside text, as each backend sends it to its server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from gateway.assistants import NoSharedValues, build
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.assistants.threads.backend import BETA_HEADERS, ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.configuration import McpServerDefinition
from gateway.domain.errors import SettingsError
from gateway.domain.models import ThreadId
from gateway.domain.run_events import ToolCall
from gateway.settings import Settings
from gateway.tools import Tool, ToolBox, ToolResult, tool
from tests.contracts.assistant_online import WithFakeServer, add
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.chat_chunks import DONE, call, chunks, refuse, sent
from tests.fakes.openai_server import CallTool, FakeOpenAI, Say
from tests.fakes.raw_server import RawServer
from tests.fakes.shared_values import MemorySharedValues
from tests.settings import settings_of

CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.01)
PNG = make_attachment("chart.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", media_type="image/png")
PNG_URL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
ORDERS = McpServerDefinition(
    "orders",
    url="https://orders.example/mcp",
    headers={"Authorization": SecretStr("Bearer hush-hush"), "X-Shop": SecretStr("7")},
    allow=("find_order",),
    hosted=True,
)
NOTICE = "These tools cannot be used right now: orders__… (its server does not answer)."


@tool
def chart() -> ToolResult:
    """Draw a chart."""
    return ToolResult("Here.", for_model=(PNG,), for_reply=(PNG,))


class Source:
    """Tools of a server that goes away and comes back."""

    name, prefix = "orders", "orders__"

    def __init__(self) -> None:
        self.tools: Sequence[Tool] = ()
        self.problem = "its server does not answer"

    async def ready(self) -> None:
        self.was_asked = True


def functions_in(body: dict[str, Any]) -> list[str]:
    return [each.get("function", each)["name"] for each in body.get("tools", ())]


class TestAtOneServer(WithFakeServer):
    @pytest.mark.parametrize("kind", ["chat", "responses", "threads"])
    async def test_each_request_has_the_tools_of_its_moment(
        self, client: openai.AsyncOpenAI, fake: FakeOpenAI, kind: str
    ) -> None:
        source = Source()
        toolbox, api = ToolBox([add], sources=[source]), AssistantApiClient(client)
        if kind == "threads":
            api = AssistantApiClient(client, BETA_HEADERS)
            assistant = ServerAssistant(api, CONFIG, toolbox, MemorySharedValues(), None)
            session = AssistantSession(ThreadsBackend(api, CONFIG, toolbox, assistant))
            path, told = r"/threads/[^/]+/runs", "additional_instructions"
        elif kind == "responses":
            session = AssistantSession(ResponsesBackend(api, CONFIG, toolbox))
            path, told = "/responses", "instructions"
        else:
            session = AssistantSession(ChatBackend(api, CONFIG, toolbox))
            path, told = "/chat/completions", "messages"
        await session.say("Hello")
        away = fake.posts(path)[-1].body
        assert functions_in(away) == ([] if kind == "threads" else ["add"])  # that assistant has its own
        assert NOTICE in json.dumps(away[told], ensure_ascii=False)
        source.tools, source.problem = [Tool("orders__find", "Find it.", {"type": "object"}, print, None)], ""
        await session.say("And now?")
        back = fake.posts(path)[-1].body
        assert set(functions_in(back)) == {"add", "orders__find"}
        assert "right now" not in json.dumps(back.get(told, ""))
        assert source.was_asked

    async def test_responses_hands_servers_over(self, client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
        backend = ResponsesBackend(AssistantApiClient(client), CONFIG, ToolBox([add], hosted=[ORDERS]))
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        assert await AssistantSession(backend).say("1 + 2?") == "Three."
        assert fake.posts("/responses")[-1].body["tools"][0] == {
            "type": "mcp",
            "server_label": "orders",
            "server_url": "https://orders.example/mcp",
            "require_approval": "never",
            "authorization": "hush-hush",
            "headers": {"X-Shop": "7"},
            "allowed_tools": ["find_order"],
        }


# ---------------------------------------------------------------- files


@pytest.fixture
def chat(raw_client: openai.AsyncOpenAI) -> AssistantSession:
    return AssistantSession(ChatBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([chart]), retry_seconds=0.001))


async def test_chat_shows_images_of_tools_in_a_message(raw: RawServer, chat: AssistantSession) -> None:
    raw.add_stream(*chunks({"tool_calls": [call("x", "{}", name="chart")]}, finish="tool_calls"), DONE)
    raw.add_stream(*chunks({"content": "Nice."}), DONE)
    assert await chat.say("Draw") == "Nice."
    output, shown = sent(raw)["messages"][-2:]
    assert output == {"role": "tool", "tool_call_id": "x", "content": "Here."}
    assert shown["role"] == "user"
    assert shown["content"][1:] == [{"type": "image_url", "image_url": {"url": PNG_URL}}]
    (done,) = [event for event in chat.events if isinstance(event, ToolCall) and event.done]
    assert done.files == (PNG,)


@pytest.mark.parametrize(
    "refusal",
    ["Expected last role User or Tool", "Invalid content type. image_url is only supported by certain models"],
)
async def test_chat_goes_on_without_images_that_are_refused(
    raw: RawServer, chat: AssistantSession, refusal: str
) -> None:
    raw.add_stream(*chunks({"tool_calls": [call("x", "{}", name="chart")]}, finish="tool_calls"), DONE)
    refuse(raw, refusal)
    raw.add_stream(*chunks({"content": "Nice."}), DONE)
    assert await chat.say("Draw") == "Nice."
    assert sent(raw)["messages"][-1]["content"] == "Here."


async def test_responses_has_images_in_the_output(raw_client: openai.AsyncOpenAI, raw: RawServer) -> None:
    backend = ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([chart]))
    session = AssistantSession(backend, thread_id=ThreadId("conv_1"))
    called = {"type": "function_call", "call_id": "x", "name": "chart", "arguments": "{}"}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Nice."}]}
    raw.add_response(json.dumps({"id": "r1", "object": "response", "status": "completed", "output": [called]}).encode())
    refuse(raw, "Invalid type for 'input[0].output': expected a string, but got an array instead.")
    raw.add_response(json.dumps({"id": "r2", "object": "response", "status": "completed", "output": [said]}).encode())
    assert await session.say("Draw") == "Nice."
    (item,), (plain,) = sent(raw, -2)["input"], sent(raw)["input"]
    assert item["output"] == [
        {"type": "input_text", "text": "Here."},
        {"type": "input_image", "detail": "auto", "image_url": PNG_URL},
    ]
    assert plain == {"type": "function_call_output", "call_id": "x", "output": "Here."}


# ---------------------------------------------------------------- hosted


async def test_a_server_that_openai_cannot_reach_costs_its_tools(
    raw_client: openai.AsyncOpenAI, raw: RawServer
) -> None:
    backend = ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([], hosted=[ORDERS]))
    session = AssistantSession(backend, thread_id=ThreadId("conv_1"))
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    refuse(
        raw,
        "Error retrieving tool list from MCP server: 'orders'. Http status code: 424 (Failed Dependency)",
        status="424 Failed Dependency",
        type="external_connector_error",
    )
    raw.add_response(json.dumps({"id": "r1", "object": "response", "status": "completed", "output": [said]}).encode())
    assert await session.say("Hello") == "Hi."
    assert "tools" not in sent(raw)
    assert "The tools of orders cannot be used right now." in sent(raw)["instructions"]


@pytest.mark.parametrize("backend", ["chat", "threads", "offline"])
def test_other_backends_refuse_hosted_servers_by_name(backend: str) -> None:
    values: dict[str, Any] = {"assistant_backend": backend, "openai_api_key": "sk-x", "openai_model": "gpt-4o"}
    settings = settings_of(Settings, **values)
    with pytest.raises(SettingsError, match=r"mcp\.orders\.hosted: .* here it is " + backend):
        build(settings, ToolBox([], hosted=[ORDERS]), NoSharedValues())
