"""The backend ``chat``: the contract, and the behaviour specific to chat completions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import openai
import pytest
from pydantic import SecretStr

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.requests.speakers import NOTE
from gateway.domain.context import ChatContext
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
)
from gateway.domain.exchange import Exchange
from gateway.domain.models import RunId, Usage
from gateway.domain.run_events import RunCompleted, RunStarted
from gateway.tools import ToolBox
from tests.contracts.assistant_online import FAULTS, TOOL_RUNS, OnlineContract, add
from tests.contracts.assistant_options import OptionsContract
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import CallTool, Fail, FakeOpenAI, HttpFault, Incomplete, Say
from tests.fakes.raw_server import KEY, RawServer

CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.01)
PATH = "/chat/completions"


class TestChat(OptionsContract, OnlineContract):
    RUN_PATH = PATH
    OUTPUTS_PATH = PATH

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ChatBackend:
        return ChatBackend(AssistantApiClient(client), CONFIG, toolbox, retry_seconds=0.01)

    def user_texts(self, fake: FakeOpenAI, session: AssistantSession) -> list[str]:
        newest = fake.posts(self.RUN_PATH)[-1].body["messages"]
        return [message["content"] for message in newest if message["role"] == "user"]

    # ------------------------------------------------------------ requests

    async def test_history_follows_the_instructions(
        self, fake: FakeOpenAI, client: openai.AsyncOpenAI, toolbox: ToolBox
    ) -> None:
        session = AssistantSession(
            ChatBackend(AssistantApiClient(client), replace(CONFIG, instructions="You are in {{platform}}."), toolbox)
        )
        await session.say("Hello")
        await session.say("Again")
        body = fake.posts(PATH)[-1].body
        assert body["messages"] == [
            {"role": "system", "content": "You are in test."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "You said: Hello"},
            {"role": "user", "content": "Again"},
        ]
        assert body["stream_options"] == {"include_usage": True}
        assert [one["function"]["name"] for one in body["tools"]] == ["add"]

    async def test_several_people_are_named_in_text_and_field(self, fake: FakeOpenAI, assistant: ChatBackend) -> None:
        session = AssistantSession(assistant)
        for session.context in (ChatContext("Ann Lee"), ChatContext("山田"), ChatContext("Bob Ray")):
            await session.say("Hello")
        note, *others = fake.posts(PATH)[-1].body["messages"]
        assert note == {"role": "system", "content": NOTE}
        assert [one for one in others if one["role"] == "user"] == [
            {"role": "user", "name": "Ann_Lee", "content": "Ann Lee: Hello"},
            {"role": "user", "content": "山田: Hello"},
            {"role": "user", "name": "Bob_Ray", "content": "Bob Ray: Hello"},
        ]

    async def test_history_is_limited_to_the_configured_size(
        self, fake: FakeOpenAI, client: openai.AsyncOpenAI
    ) -> None:
        past = [Exchange(f"Q{number}", "A" * 100) for number in range(10)]
        await AssistantSession(
            ChatBackend(AssistantApiClient(client), CONFIG, ToolBox([]), history_chars=250), exchanges=past
        ).say("Now")
        texts = [message["content"] for message in fake.posts(PATH)[-1].body["messages"]]
        assert texts == ["Q8", "A" * 100, "Q9", "A" * 100, "Now"]
        assert "tools" not in fake.posts(PATH)[-1].body

    async def test_history_that_is_too_long_for_the_model_is_halved_until_it_fits(
        self, fake: FakeOpenAI, assistant: ChatBackend
    ) -> None:
        session = AssistantSession(assistant, exchanges=[Exchange(f"Q{number}", "A" * 398) for number in range(10)])
        fake.context_tokens = 300
        fake.reply = "Here."
        assert await session.say("Now") == "Here."
        assert [len(seen.body["messages"]) for seen in fake.posts(PATH)] == [21, 11, 5]
        assert await session.say("And now") == "Here."
        assert len(fake.posts(PATH)) == 4, "the next turn begins with what fitted"

    async def test_a_message_that_is_too_long_by_itself_is_said_to_be(
        self, fake: FakeOpenAI, assistant: ChatBackend
    ) -> None:
        past = [Exchange(f"Q{number}", "A" * 398) for number in range(10)]
        fake.context_tokens = 50
        with pytest.raises(AssistantRefused) as caught:
            await AssistantSession(assistant, exchanges=past).say("Now" * 1000)
        assert caught.value.code == "too_long"
        assert "too long" in caught.value.user_message

    async def test_without_streaming_it_waits(
        self, fake: FakeOpenAI, client: openai.AsyncOpenAI, toolbox: ToolBox
    ) -> None:
        session = AssistantSession(ChatBackend(AssistantApiClient(client), replace(CONFIG, stream=False), toolbox))
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        assert await session.say("1 + 2?") == session.shown_text == "Three."
        assert [seen.body["stream"] for seen in fake.posts(PATH)] == [False, False]
        assert all("stream_options" not in seen.body for seen in fake.posts(PATH))

    async def test_azure_is_asked_for_its_deployment(
        self, fake: FakeOpenAI, connected: Callable[..., openai.AsyncOpenAI]
    ) -> None:
        client = connected(
            azure_openai_endpoint=fake.azure_endpoint,
            azure_openai_api_key=SecretStr(KEY),
            azure_openai_api_version="2024-10-21",
        )
        assistant = ChatBackend(AssistantApiClient(client), replace(CONFIG, model="mine"), ToolBox([]))
        assert await AssistantSession(assistant).say("Hello") == "You said: Hello"
        assert fake.posts(PATH)[-1].deployment == "mine"
        (check,) = await assistant.check()
        assert check.ok, check.detail

    # ------------------------------------------------------------ events

    async def test_text_between_tool_calls_is_part_of_the_reply(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script([Say("Let me see."), CallTool("add", {"a": 1, "b": 2})], Say("Three."))
        assert await session.say("1 + 2?") == session.shown_text == "Let me see.\n\nThree."

    async def test_a_refusal_is_a_reply(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Say("I would rather not.", refusal=True))
        assert await session.say("Do it") == session.shown_text == "I would rather not."
        assert (session.answer.refusal, {each.is_refusal for each in session.shown}) == (session.shown_text, {True})

    @pytest.mark.parametrize("act", [Incomplete("content_filter"), Fail("invalid_prompt")])
    async def test_a_filtered_answer_is_not_shown_as_a_whole_one(
        self, fake: FakeOpenAI, session: AssistantSession, act: Incomplete | Fail
    ) -> None:
        fake.script([Say("Half an ans"), act])
        with pytest.raises(AssistantRefused) as caught:
            await session.say("Hello")
        assert "filter" in caught.value.user_message
        assert caught.value.partial_text == ""

    @pytest.mark.parametrize("name", sorted(set(FAULTS) - {"rate limit", "conflict"}))
    async def test_a_tool_runs_once_despite_faults_of_its_output(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        fake.faults.add(HttpFault(path=PATH, skip=1, **FAULTS[name]))
        TOOL_RUNS.clear()
        await session.say("1 + 2?")
        assert TOOL_RUNS == [1]
        assert not session.errors

    async def test_a_server_without_completions_is_reported(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.features.discard("chat")
        with pytest.raises(AssistantMisconfigured, match="OPENAI_BASE_URL"):
            await session.say("Hello")


# ---------------------------------------------------------------- servers that do it their own way


@pytest.fixture
def session(raw_client: openai.AsyncOpenAI) -> AssistantSession:
    return AssistantSession(ChatBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add]), retry_seconds=0.001))


def chunks(*deltas: dict[str, object], finish: str | None = "stop", **more: object) -> list[bytes]:
    """Returns the chunks of a stream with these deltas, without ``[DONE]``."""
    written: list[dict[str, object]] = [{"id": "c1", "choices": [{"delta": delta}]} for delta in deltas]
    if finish:
        written.append({"id": "c1", "choices": [{"delta": {}, "finish_reason": finish}], **more})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in written]


async def test_an_answer_does_not_need_a_done_marker(raw: RawServer, session: AssistantSession) -> None:
    raw.add_stream(*chunks({"content": "Hel"}, {"content": "lo"}))
    assert await session.say("Hi") == "Hello"
    assert session.events[0] == RunStarted(RunId("c1"))


async def test_data_lost_after_the_end_of_an_answer_does_not_matter(raw: RawServer, session: AssistantSession) -> None:
    raw.add_partial_stream(b"".join(chunks({"content": "Hello"})), hang_up=True)
    assert await session.say("Hi") == "Hello"
    assert not session.errors


async def test_an_answer_without_an_end_is_requested_again(raw: RawServer, session: AssistantSession) -> None:
    raw.add_stream(*chunks({"content": "Hel"}, finish=None))
    raw.add_stream(*chunks({"content": "Hello"}, finish="abort"))
    raw.add_stream(*chunks({"content": "Hello"}, {"content": " you"}))
    assert await session.say("Hi") == session.shown_text == "Hello you"


async def test_before_any_text_was_shown_the_error_goes_to_the_caller(
    raw: RawServer, session: AssistantSession
) -> None:
    raw.add_response(b"{}", status="500 Internal Server Error")
    await session.open_thread()
    with pytest.raises(AssistantUnavailable):
        await session.attempt(session.make_turn("Hi"), first=True)
    assert len(raw.requests) == 1


async def test_shown_text_that_differs_from_the_reply_is_replaced(raw: RawServer, session: AssistantSession) -> None:
    raw.add_stream(*chunks({"content": "Good "}, finish=None))
    raw.add_stream(*chunks({"content": "God "}, {"content": "bless"}))
    assert await session.say("Hi") == "God bless"
    assert session.shown_text == "Good"


async def test_calls_without_an_index_are_distinguished_by_id(raw: RawServer, session: AssistantSession) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    raw.add_stream(*chunks({"tool_calls": [{"id": "x", **call}]}, {"tool_calls": [{"id": "y", **call}]}, finish="stop"))
    raw.add_stream(*chunks({"content": "Three."}))
    assert await session.say("1 + 2?") == "Three."
    sent = json.loads(raw.requests[1].partition(b"\r\n\r\n")[2])["messages"]
    assert [message.get("tool_call_id") for message in sent[-2:]] == ["x", "y"]


async def test_calls_without_an_id_get_one(raw: RawServer, session: AssistantSession) -> None:
    call = {"function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    raw.add_response(
        json.dumps({"choices": [{"message": {"tool_calls": [call, call]}, "finish_reason": "tool_calls"}]}).encode()
    )
    raw.add_stream(*chunks({"content": "Three."}))
    assert await session.say("1 + 2?") == "Three."
    sent = json.loads(raw.requests[1].partition(b"\r\n\r\n")[2])["messages"]
    assert [one["id"] for one in sent[-3]["tool_calls"]] == [message["tool_call_id"] for message in sent[-2:]]
    assert len({message["tool_call_id"] for message in sent[-2:]}) == 2


async def test_running_totals_of_usage_are_counted_once(raw: RawServer, session: AssistantSession) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    first = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}\n\n'
    raw.add_stream(first, *chunks({"content": "Hello"}, usage=usage))
    await session.say("Hi")
    assert session.events[-1] == RunCompleted("Hello", Usage(5, 2))


async def test_reasoning_parts_are_not_part_of_the_reply(raw: RawServer, session: AssistantSession) -> None:
    content = [{"type": "thinking", "thinking": [{"text": "Hm."}]}, {"type": "text", "text": "Hello"}]
    raw.add_stream(*chunks({"reasoning_content": "Hm."}, {"content": content}))
    assert await session.say("Hi") == "Hello"


async def test_an_error_inside_the_stream_is_mapped_by_code(raw: RawServer, session: AssistantSession) -> None:
    raw.add_stream(b'data: {"error": {"code": 429, "message": "slow down, try again in 3s"}}\n\n')
    await session.open_thread()
    with pytest.raises(AssistantRateLimited) as caught:
        await session.attempt(session.make_turn("Hi"), first=True)
    assert caught.value.retry_after == 3


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"choices": 7}', b'{"choices": [{"delta": []}]}', b'{"choices": [null]}']
)
async def test_an_answer_of_unknown_structure_is_an_error(
    raw: RawServer, session: AssistantSession, body: bytes
) -> None:
    for _ in range(3):
        raw.add_response(body)
    await session.open_thread()
    with pytest.raises(AssistantError) as caught:
        await session.attempt(session.make_turn("Hi"), first=True)
    assert caught.value.code == "unavailable"


async def test_rejected_stream_options_are_not_sent_again(raw: RawServer, session: AssistantSession) -> None:
    raw.add_response(b'{"detail": "stream_options is not permitted"}', status="422 Unprocessable Entity")
    for _ in range(2):
        raw.add_stream(*chunks({"content": "Hello"}))
        await session.say("Hi")
    assert [b"stream_options" in request for request in raw.requests] == [True, False, False]


async def test_reasoning_is_switched_off_for_models_that_require_it(raw: RawServer, session: AssistantSession) -> None:
    told = (
        "Function tools with reasoning_effort are not supported for gpt-5.6-luna in /v1/chat/completions. To use "
        "function tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    raw.add_response(
        json.dumps({"error": {"message": told, "param": "reasoning_effort"}}).encode(), status="400 Bad Request"
    )
    raw.add_stream(*chunks({"content": "Hello"}))
    assert await session.say("Hi") == "Hello"
    assert json.loads(raw.requests[1].partition(b"\r\n\r\n")[2])["reasoning_effort"] == "none"


async def test_a_temperature_that_the_model_refuses_is_left_out_and_told(
    raw: RawServer, raw_client: openai.AsyncOpenAI
) -> None:
    config = replace(CONFIG, parameters={"temperature": 0.2})
    backend = ChatBackend(AssistantApiClient(raw_client), config, ToolBox([]))
    told = {"error": {"message": "Unsupported parameter: 'temperature'.", "param": "temperature"}}
    raw.add_response(json.dumps(told).encode(), status="400 Bad Request")
    raw.add_stream(*chunks({"content": "Hello"}))
    await AssistantSession(backend).say("Hi")
    assert [b'"temperature":0.2' in request for request in raw.requests] == [True, False]
    raw.add_response(b'{"id": "gpt-4o"}')
    (result,) = await backend.check()
    assert result.detail.endswith("left out, as the server refuses it: temperature")


async def test_the_check_uses_a_completion_if_there_are_no_model_endpoints(
    raw: RawServer, session: AssistantSession
) -> None:
    for _ in range(2):
        raw.add_response(b"{}", status="404 Not Found")
    raw.add_response(b"{}")
    (check,) = await session.assistant.check()
    assert check.ok
    assert [request.split(b" HTTP")[0] for request in raw.requests] == [
        b"GET /v1/models/gpt-4o",
        b"GET /v1/models",
        b"POST /v1/chat/completions",
    ]


async def test_a_check_raises_nothing(raw: RawServer, session: AssistantSession) -> None:
    raw.add_response(b"{}", status="503 Service Unavailable")
    (check,) = await session.assistant.check()
    assert not check.ok
    assert not isinstance(check.detail, AssistantError)
