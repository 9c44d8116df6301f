"""The backend ``responses``: the contract, and the behaviour specific to conversations and responses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.history.exchanges import result_text
from gateway.assistants.requests.speakers import NOTE
from gateway.assistants.responses import requests
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.domain.context import ChatContext
from gateway.domain.errors import (
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
    ThreadBusy,
    ThreadMissing,
)
from gateway.domain.exchange import CallOutput, Exchange
from gateway.domain.models import RunId, ThreadId
from gateway.domain.run_events import ToolCall
from gateway.tools import ToolBox
from tests.contracts.assistant_late import LateRequestContract
from tests.contracts.assistant_online import FAULTS, OnlineContract
from tests.contracts.assistant_options import WITH_WEATHER, OptionsContract
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import (
    NO_MODEL,
    CallTool,
    Fail,
    FakeOpenAI,
    Hang,
    HostedTool,
    HttpFault,
    Incomplete,
    Say,
    Think,
)
from tests.fakes.raw_server import RawServer

CODE = {"type": "code_interpreter", "container": {"type": "auto"}}
CONFIG = AssistantConfig("gpt-4o", "Be brief.", hosted_tools=(CODE,), poll_seconds=0.01)
Make = Callable[..., ResponsesBackend]


class TestResponses(OptionsContract, LateRequestContract, OnlineContract):
    RUN_PATH = "/responses"
    OUTPUTS_PATH = "/responses"

    @pytest.fixture
    def make(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> Make:
        return lambda **setup: ResponsesBackend(AssistantApiClient(client), replace(CONFIG, **setup), toolbox)

    @pytest.fixture
    def assistant(self, make: Make) -> ResponsesBackend:
        return make()

    # ------------------------------------------------------------ requests

    async def test_a_turn_is_one_post(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        await session.open_thread()
        before = len(fake.requests)
        await session.say("Hello")
        assert [(seen.method, seen.path) for seen in fake.requests[before:]] == [("POST", "/responses")]

    async def test_the_post_has_everything_that_a_conversation_does_not_store(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        await session.say("Hello")
        await session.say("Again")
        for seen in fake.posts("/responses"):
            assert seen.body["instructions"] == "Be brief."
            assert seen.body["model"] == "gpt-4o"
            assert seen.body["conversation"] == session.thread_id
            assert seen.body["truncation"] == "auto"
            assert seen.body["background"] is seen.body["store"] is seen.body["stream"] is True
            assert seen.body["stream_options"] == {"include_obfuscation": False}
            assert seen.body["include"] == ["code_interpreter_call.outputs"]
            assert [one.get("name", one["type"]) for one in seen.body["tools"]] == ["code_interpreter", "add"]
            assert seen.body["input"] == [
                {"type": "message", "role": "user", "content": seen.body["input"][0]["content"]}
            ]
        assert [seen.body["metadata"] for seen in fake.posts("/responses")] == [
            {"turn_id": "turn_1"},
            {"turn_id": "turn_2"},
        ]

    async def test_instructions_are_filled_for_each_run(self, fake: FakeOpenAI, make: Make) -> None:
        await AssistantSession(make(instructions="You are {{assistant}} in {{platform}}.", name="Robin")).say("Hello")
        assert fake.posts(self.RUN_PATH)[-1].body["instructions"] == "You are Robin in test."

    async def test_the_model_is_told_about_names(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.context = ChatContext("Ann Lee")
        await session.say("Hello")
        assert fake.posts(self.RUN_PATH)[-1].body["instructions"] == f"Be brief.\n\n{NOTE}"
        assert self.user_texts(fake, session) == ["Ann Lee: Hello"]

    async def test_a_rejected_field_is_not_sent_again(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        error = {"message": "Background mode is not supported for Zero Data Retention.", "param": "background"}
        fake.faults.add(HttpFault(path="/responses", status=400, body={"error": error}))
        await session.say("Hello")
        await session.say("Again")
        assert [seen.body.get("background") for seen in fake.posts("/responses")] == [True, None, None]

    async def test_concurrent_turns_adapt_to_a_rejected_field(
        self, fake: FakeOpenAI, assistant: ResponsesBackend
    ) -> None:
        gate = threading.Event()
        error = {"message": "Background mode is not supported.", "param": "background"}
        fake.faults.add(HttpFault(path="/responses", status=400, body={"error": error}, gate=gate, times=3))
        talks = asyncio.gather(*(AssistantSession(assistant).say("Hello") for _ in range(3)))
        await fake.wait_for_async("POST", "/responses", 3)
        gate.set()
        assert await talks == ["You said: Hello"] * 3

    async def test_without_streaming_it_polls(self, fake: FakeOpenAI, make: Make) -> None:
        session = AssistantSession(make(stream=False))
        fake.script(CallTool("add", {"a": 1, "b": 2}), [HostedTool("code_interpreter", "1+1", "2"), Say("Three.")])
        assert await session.say("1 + 2?") == session.shown_text == "Three."
        assert [call.name for call in session.tool_calls] == ["add", "add", "code_interpreter", "code_interpreter"]
        assert [seen.body["stream"] for seen in fake.posts("/responses")] == [False, False]

    # ------------------------------------------------------------ events

    async def test_hosted_tools_are_reported_as_they_run(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(
            [
                Think("It wants a number."),
                HostedTool("web_search", "how many"),
                HostedTool("code_interpreter", "print(6*7)", "42"),
                Say("42."),
            ]
        )
        await session.say("How many?")
        names = {call.call_id: call.name for call in session.tool_calls}
        reason, search, code = names
        assert list(names.values()) == ["reasoning", "web_search", "code_interpreter"]
        assert session.tool_calls == [
            ToolCall(reason, "reasoning"),
            ToolCall(reason, "reasoning", done=True),
            ToolCall(search, "web_search"),
            ToolCall(search, "web_search", "how many", done=True),
            ToolCall(code, "code_interpreter", "print(6*7)"),
            ToolCall(code, "code_interpreter", "print(6*7)", "42", done=True),
        ]

    async def test_reasoning_is_shown_by_a_setting(self, fake: FakeOpenAI, make: Make) -> None:
        session = AssistantSession(make(show_reasoning=True))
        fake.script([Think("It wants a number."), Say("42.")])
        assert await session.say("How many?") == session.shown_text == "42."
        assert [call.output for call in session.tool_calls if call.done] == ["It wants a number."]

    async def test_several_messages_are_one_reply(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([Say("Let me see."), CallTool("add", {"a": 1, "b": 2})], Say("Three."))
        assert await session.say("1 + 2?") == session.shown_text == "Let me see.\n\nThree."

    async def test_a_refusal_is_a_reply(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Say("I would rather not.", refusal=True))
        assert await session.say("Do it") == session.shown_text == "I would rather not."
        assert (session.answer.refusal, {each.is_refusal for each in session.shown}) == (session.shown_text, {True})

    @pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error"])
    async def test_a_failed_run_is_retried(self, fake: FakeOpenAI, session: AssistantSession, code: str) -> None:
        fake.script(Fail(code), Say("Here."))
        assert await session.say("Hello") == "Here."
        assert isinstance(session.errors[0], AssistantRateLimited | AssistantUnavailable)
        assert self.user_texts(fake, session) == ["Hello"]

    async def test_a_cut_off_answer_is_shown_marked_and_remembered(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script([Say("Half an ans"), Incomplete()])
        reply = await session.say("Hello")
        assert reply.startswith("Half an ans\n\n")
        assert "cut off" in reply
        assert session.answer.cut_off
        assert session.answer.usage.tokens_out > 0
        assert "Half an ans" in await session.say("Go on")

    @pytest.mark.parametrize("act", [Fail("invalid_prompt"), Incomplete("content_filter")])
    async def test_a_filtered_answer_is_not_shown_as_a_whole_one(
        self, fake: FakeOpenAI, session: AssistantSession, act: Fail | Incomplete
    ) -> None:
        fake.script([Say("Half an ans"), act])
        with pytest.raises(AssistantRefused) as caught:
            await session.say("Hello")
        assert caught.value.user_message.endswith(".")

    async def test_an_unknown_model_is_named(self, make: Make) -> None:
        assistant = make(model=NO_MODEL)
        with pytest.raises(AssistantMisconfigured, match="OPENAI_MODEL"):
            await AssistantSession(assistant).say("Hello")
        (check,) = await assistant.check()
        assert not check.ok

    # ------------------------------------------------------------ one run at a time

    async def test_a_locked_conversation_is_not_missing(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Hang())
        await session.begin_and_abandon("Wait")
        with pytest.raises(ThreadBusy) as caught:
            await session.attempt(session.make_turn("Now"), first=True)
        assert 0.5 <= (caught.value.retry_after or 0) <= 2
        fake.release()

    async def test_a_run_whose_id_was_lost_is_waited_for(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([Hang(), Say("Late.")])
        fake.faults.add(HttpFault(path="/responses", kind="cut"))
        with pytest.raises(AssistantUnavailable):
            await session.attempt(session.make_turn("Hello"), first=True)
        with pytest.raises(ThreadBusy):
            await session.attempt(session.make_turn("Hello"), first=False)
        fake.release()
        await fake.wait_until_async(lambda: fake.user_texts(session.thread_id or "") == ["Hello"])
        assert await session.say("Hello", may_have_begun=True) == "Late."
        assert self.user_texts(fake, session) == ["Hello"]

    async def test_a_run_that_completes_between_lookup_and_post_is_used(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        gate = threading.Event()
        fake.script([Hang(), Say("First.")])
        fake.faults.add(HttpFault(path="/responses", kind="cut"), HttpFault(path="/responses", gate=gate))
        with pytest.raises(AssistantUnavailable):
            await session.attempt(session.make_turn("Hello"), first=True)
        again = asyncio.create_task(session.say("Hello", may_have_begun=True))
        await fake.wait_for_async("POST", "/responses", 2)
        fake.release()
        await fake.wait_until_async(lambda: fake.user_texts(session.thread_id or "") == ["Hello"])
        fake.script(Hang())
        gate.set()
        assert await again == "First."
        assert self.user_texts(fake, session) == ["Hello"]
        assert "Next" in await session.say("Next")

    async def test_a_cancelled_run_is_not_restarted(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Hang())
        await session.begin_and_abandon("Wait")
        await session.assistant.cancel_run(await session.open_thread(), session.run_id)
        with pytest.raises(AssistantRefused, match="cancelled"):
            await session.attempt(session.make_turn("Wait"), first=False)

    # ------------------------------------------------------------ results of an earlier attempt

    async def test_a_repeated_text_is_another_message(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        for number in range(3):
            fake.script(f"Reply {number}.")
            assert await session.say("Yes", may_have_begun=bool(number)) == f"Reply {number}."
        assert self.user_texts(fake, session) == ["Yes"] * 3
        assert (await session.attempt(session.make_turn("Yes"), first=True)).text
        posts = len(fake.posts("/responses"))
        session.run_id = None
        assert (await session.attempt(session.make_turn("Yes"), first=False)).text
        assert len(fake.posts("/responses")) == posts

    @pytest.mark.parametrize("known", [True, False])
    async def test_unanswered_calls_of_an_earlier_attempt_are_answered(
        self,
        fake: FakeOpenAI,
        session: AssistantSession,
        known: bool,  # noqa: FBT001
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.begin_and_abandon("1 + 2?")
        await fake.wait_until_async(lambda: any(one["status"] == "completed" for one in fake.responses.values()))
        session.run_id = session.run_id if known else None
        assert await session.say("1 + 2?", may_have_begun=True) == "Three."
        assert self.user_texts(fake, session) == ["1 + 2?"]

    async def test_outputs_are_never_submitted_twice(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.open_thread()
        turn = session.make_turn("1 + 2?")
        await session.attempt(turn, first=True)
        posts = len(fake.posts("/responses"))
        session.run_id = RunId(next(iter(fake.responses)))
        assert (await session.attempt(turn, first=False)).text == "Three."
        assert len(fake.posts("/responses")) == posts

    async def test_a_message_without_an_answer_is_answered(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        item = {"type": "message", "role": "user", "content": "Hello"}
        thread = await session.open_thread()
        await session.assistant._api.post(f"/conversations/{thread}/items", {"items": [item]})  # type: ignore[attr-defined]
        assert await session.say("Hello", may_have_begun=True) == "You said: Hello"
        assert self.user_texts(fake, session) == ["Hello"]

    async def test_outputs_without_an_answer_are_answered(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
        items = [{"type": "message", "role": "user", "content": "Hello"}, call, output]
        thread = await session.open_thread()
        await session.assistant._api.post(f"/conversations/{thread}/items", {"items": items})  # type: ignore[attr-defined]
        assert await session.say("Hello", may_have_begun=True) == "You said: Hello"
        assert [seen.body["input"] for seen in fake.posts("/responses")] == [[]]

    async def test_results_go_on_as_text_in_a_conversation_that_a_filter_left_without_their_call(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("weather", {"city": "Rome"}), Incomplete("content_filter"), Say("It is sunny."))
        session.options = WITH_WEATHER
        await session.say("Weather?")
        (call,) = session.answer.calls
        session.options = replace(WITH_WEATHER, outputs=(CallOutput(call.id, "sunny"),))
        assert await session.say("") == "It is sunny."
        (item,) = fake.posts("/responses")[-1].body["input"]
        assert (item["role"], item["content"]) == ("user", result_text("sunny"))

    async def test_a_rejected_conversation_id_means_a_missing_thread(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        error = {"message": "Invalid 'conversation': expected an ID that begins with 'conv'.", "param": "conversation"}
        fake.faults.add(HttpFault(path="/responses", status=400, body={"error": error}))
        assert await session.say("Hello") == "You said: Hello"
        assert isinstance(session.errors[0], ThreadMissing)

    async def test_the_newest_hundred_exchanges_are_imported(self, assistant: ResponsesBackend) -> None:
        past = [Exchange(f"Q{number}", f"A{number}") for number in range(120)]
        thread = await assistant.create_thread(past)
        assert await assistant.import_history(thread) == past[20:]

    # ------------------------------------------------------------ other servers

    async def test_a_server_without_conversations_gets_our_own_transcript(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.features.discard("conversations")
        fake.script("Hello Ada.", CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.say("I am Ada.")
        assert await session.say("1 + 2?") == "Three."
        newest = fake.posts("/responses")[-1].body
        assert "conversation" not in newest
        assert [item.get("content", item["type"]) for item in newest["input"]] == [
            "I am Ada.", "Hello Ada.", "1 + 2?", "function_call", "function_call_output",
        ]  # fmt: skip
        (check,) = await session.assistant.check()
        assert check.ok
        assert "conversation" in check.detail

    async def test_a_server_without_responses_is_reported(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.features.discard("responses")
        with pytest.raises(AssistantMisconfigured, match="ASSISTANT_BACKEND=chat"):
            await session.say("Hello")


@pytest.mark.parametrize(
    ("status", "message", "ok"),
    [
        ("404 Not Found", "Conversation with id 'conv_0' not found.", True),
        ("400 Bad Request", "Invalid conversation_id: conv_0", True),
        ("404 Not Found", "Invalid URL (GET /v1/conversations/conv_0)", False),
        ("404 Not Found", "Not Found", False),
    ],
)
async def test_support_for_conversations_is_detected_by_the_error_message(
    raw: RawServer,
    raw_client: openai.AsyncOpenAI,
    status: str,
    message: str,
    ok: bool,  # noqa: FBT001
) -> None:
    raw.add_response(b"{}")
    raw.add_response(b'{"error": {"message": "%s"}}' % message.encode(), status=status)
    (check,) = await ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([])).check()
    assert check.ok
    assert ("conversation" in check.detail) is not ok


async def test_the_state_of_a_run_has_precedence_over_an_error_in_its_stream(
    raw: RawServer, raw_client: openai.AsyncOpenAI
) -> None:
    run = {"id": "resp_1", "object": "response", "status": "in_progress", "background": True}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]}
    events = [{"type": "response.created", "response": run}, {"type": "error", "code": "rate_limit_exceeded"}]
    raw.add_stream(*(b"data: %s\n\n" % json.dumps(event).encode() for event in events))
    raw.add_response(json.dumps({**run, "status": "completed", "output": [said]}).encode())
    session = AssistantSession(
        ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([])), thread_id=ThreadId("conv_1")
    )
    assert await session.say("Hello") == "Here."
    assert not session.errors


async def test_a_run_that_stays_queued_is_cancelled(
    raw: RawServer, raw_client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_QUEUED_SECONDS", 0.0)
    session = AssistantSession(
        ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([])), thread_id=ThreadId("conv_1")
    )
    queued = b'{"id": "resp_1", "object": "response", "status": "queued", "background": true}'
    raw.add_response(queued)
    raw.add_response(queued)
    raw.add_response(queued.replace(b"queued", b"cancelled"))
    with pytest.raises(AssistantRateLimited, match="queued"):
        await session.attempt(session.make_turn("Hello"), first=True)
    assert [request.split(b" HTTP")[0] for request in raw.requests] == [
        b"POST /v1/responses",
        b"GET /v1/responses/resp_1",
        b"POST /v1/responses/resp_1/cancel",
    ]


class TestWithoutBackground:
    """A run that ends with its connection is started again, unless its items are in the conversation."""

    RUNS = "/responses"

    @pytest.fixture
    def fake(self) -> object:
        with FakeOpenAI() as fake:
            fake.features.discard("background")
            yield fake

    @pytest.fixture
    def session(self, client: openai.AsyncOpenAI) -> AssistantSession:
        return AssistantSession(ResponsesBackend(AssistantApiClient(client), CONFIG, ToolBox([])))

    @pytest.mark.parametrize("name", FAULTS)
    async def test_the_reply_is_complete_and_the_message_stored_once_despite_faults(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        await session.say("First")
        fake.faults.add(HttpFault(path="/responses", **FAULTS[name]))
        assert await session.say("Second") == "You said: Second"
        assert fake.user_texts(await session.open_thread()) == ["First", "Second"]

    async def test_closing_the_connection_cancels_the_response(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(Hang())
        await session.begin_and_abandon("Wait")
        await session.assistant.cancel_run(await session.open_thread(), session.run_id)
        assert await session.say("Next") == "You said: Next"

    async def test_history_of_an_unknown_conversation_is_none(self, session: AssistantSession) -> None:
        with pytest.raises(ThreadMissing):
            await session.assistant.resume(
                session.make_turn("Hello"), ThreadId("conv_x"), None, session.history
            ).__anext__()
