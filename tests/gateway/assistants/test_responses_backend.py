"""The backend ``responses``: the contract, and the behaviour specific to conversations and responses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import Setup, Wire
from gateway.assistants.responses import backend
from gateway.assistants.responses.backend import Responses
from gateway.domain.errors import Misconfigured, RateLimited, Refused, ThreadBusy, ThreadLost, Unavailable
from gateway.domain.models import Exchange, RunId, ThreadId, ToolCall
from gateway.tools import ToolBox
from tests.contracts.assistant_online import BREAKS, OnlineContract
from tests.contracts.assistant_session import Room
from tests.fakes.openai_server import (
    NO_MODEL,
    CallTool,
    Fail,
    FakeOpenAI,
    Fault,
    Hang,
    HostedTool,
    Incomplete,
    Reason,
    Say,
)
from tests.fakes.raw_server import RawServer

CODE = {"type": "code_interpreter", "container": {"type": "auto"}}
SETUP = Setup("gpt-4o", "Be brief.", hosted=(CODE,), poll_seconds=0.01)
Make = Callable[..., Responses]


class TestResponses(OnlineContract):
    RUNS = "/responses"
    OUTPUTS = "/responses"

    @pytest.fixture
    def make(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> Make:
        return lambda **setup: Responses(Wire(client), replace(SETUP, **setup), toolbox)

    @pytest.fixture
    def assistant(self, make: Make) -> Responses:
        return make()

    # ------------------------------------------------------------ requests

    async def test_a_turn_is_one_post(self, fake: FakeOpenAI, session: Room) -> None:
        await session.open()
        before = len(fake.requests)
        await session.say("Hello")
        assert [(seen.method, seen.path) for seen in fake.requests[before:]] == [("POST", "/responses")]

    async def test_the_post_has_everything_that_a_conversation_does_not_store(
        self, fake: FakeOpenAI, session: Room
    ) -> None:
        await session.say("Hello")
        await session.say("Again")
        for seen in fake.posts("/responses"):
            assert seen.body["instructions"] == "Be brief."
            assert seen.body["model"] == "gpt-4o"
            assert seen.body["conversation"] == session.thread
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

    async def test_a_rejected_field_is_not_sent_again(self, fake: FakeOpenAI, session: Room) -> None:
        error = {"message": "Background mode is not supported for Zero Data Retention.", "param": "background"}
        fake.faults.add(Fault(path="/responses", status=400, body={"error": error}))
        await session.say("Hello")
        await session.say("Again")
        assert [seen.body.get("background") for seen in fake.posts("/responses")] == [True, None, None]

    async def test_concurrent_turns_adapt_to_a_rejected_field(self, fake: FakeOpenAI, assistant: Responses) -> None:
        gate = threading.Event()
        error = {"message": "Background mode is not supported.", "param": "background"}
        fake.faults.add(Fault(path="/responses", status=400, body={"error": error}, gate=gate, times=3))
        talks = asyncio.gather(*(Room(assistant).say("Hello") for _ in range(3)))
        await fake.arrival("POST", "/responses", 3)
        gate.set()
        assert await talks == ["You said: Hello"] * 3

    async def test_without_streaming_it_polls(self, fake: FakeOpenAI, make: Make) -> None:
        session = Room(make(streamed=False))
        fake.script(CallTool("add", {"a": 1, "b": 2}), [HostedTool("code_interpreter", "1+1", "2"), Say("Three.")])
        assert await session.say("1 + 2?") == session.shown == "Three."
        assert [call.name for call in session.tools] == ["add", "add", "code_interpreter", "code_interpreter"]
        assert [seen.body["stream"] for seen in fake.posts("/responses")] == [False, False]

    # ------------------------------------------------------------ events

    async def test_hosted_tools_are_reported_as_they_run(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(
            [
                Reason("It wants a number."),
                HostedTool("web_search", "how many"),
                HostedTool("code_interpreter", "print(6*7)", "42"),
                Say("42."),
            ]
        )
        await session.say("How many?")
        names = {call.call_id: call.name for call in session.tools}
        reason, search, code = names
        assert list(names.values()) == ["reasoning", "web_search", "code_interpreter"]
        assert session.tools == [
            ToolCall(reason, "reasoning"),
            ToolCall(reason, "reasoning", output="It wants a number.", done=True),
            ToolCall(search, "web_search"),
            ToolCall(search, "web_search", "how many", done=True),
            ToolCall(code, "code_interpreter", "print(6*7)"),
            ToolCall(code, "code_interpreter", "print(6*7)", "42", done=True),
        ]

    async def test_several_messages_are_one_reply(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script([Say("Let me see."), CallTool("add", {"a": 1, "b": 2})], Say("Three."))
        assert await session.say("1 + 2?") == session.shown == "Let me see.\n\nThree."

    async def test_a_refusal_is_a_reply(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(Say("I would rather not.", refusal=True))
        assert await session.say("Do it") == session.shown == "I would rather not."

    @pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error"])
    async def test_a_failed_run_is_retried(self, fake: FakeOpenAI, session: Room, code: str) -> None:
        fake.script(Fail(code), Say("Here."))
        assert await session.say("Hello") == "Here."
        assert isinstance(session.troubles[0], RateLimited | Unavailable)
        assert self.said(fake, session) == ["Hello"]

    @pytest.mark.parametrize("act", [Fail("invalid_prompt"), Incomplete(), Incomplete("content_filter")])
    async def test_a_permanent_failure_has_a_user_message(
        self, fake: FakeOpenAI, session: Room, act: Fail | Incomplete
    ) -> None:
        fake.script([Say("Half an ans"), act])
        with pytest.raises(Refused) as caught:
            await session.say("Hello")
        assert caught.value.sentence.endswith(".")

    async def test_an_unknown_model_is_named(self, make: Make) -> None:
        assistant = make(model=NO_MODEL)
        with pytest.raises(Misconfigured, match="OPENAI_MODEL"):
            await Room(assistant).say("Hello")
        (check,) = await assistant.check()
        assert not check.ok

    # ------------------------------------------------------------ one run at a time

    async def test_a_locked_conversation_is_not_missing(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(Hang())
        await session.begin("Wait")
        with pytest.raises(ThreadBusy) as caught:
            await session.attempt(session.turn("Now"), posting=True)
        assert 0.5 <= (caught.value.retry_after or 0) <= 2
        fake.release()

    async def test_a_run_whose_id_was_lost_is_waited_for(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script([Hang(), Say("Late.")])
        fake.faults.add(Fault(path="/responses", kind="cut"))
        with pytest.raises(Unavailable):
            await session.attempt(session.turn("Hello"), posting=True)
        with pytest.raises(ThreadBusy):
            await session.attempt(session.turn("Hello"), posting=False)
        fake.release()
        await fake.until(lambda: fake.user_texts(session.thread or "") == ["Hello"])
        assert await session.say("Hello", begun=True) == "Late."
        assert self.said(fake, session) == ["Hello"]

    async def test_a_run_that_completes_between_lookup_and_post_is_used(self, fake: FakeOpenAI, session: Room) -> None:
        gate = threading.Event()
        fake.script([Hang(), Say("First.")])
        fake.faults.add(Fault(path="/responses", kind="cut"), Fault(path="/responses", gate=gate))
        with pytest.raises(Unavailable):
            await session.attempt(session.turn("Hello"), posting=True)
        again = asyncio.create_task(session.say("Hello", begun=True))
        await fake.arrival("POST", "/responses", 2)
        fake.release()
        await fake.until(lambda: fake.user_texts(session.thread or "") == ["Hello"])
        fake.script(Hang())
        gate.set()
        assert await again == "First."
        assert self.said(fake, session) == ["Hello"]
        assert "Next" in await session.say("Next")

    async def test_a_cancelled_run_is_not_restarted(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(Hang())
        await session.begin("Wait")
        await session.assistant.cancel(await session.open(), session.run_id)
        with pytest.raises(Refused, match="cancelled"):
            await session.attempt(session.turn("Wait"), posting=False)

    # ------------------------------------------------------------ results of an earlier attempt

    async def test_a_repeated_text_is_another_message(self, fake: FakeOpenAI, session: Room) -> None:
        for number in range(3):
            fake.script(f"Reply {number}.")
            assert await session.say("Yes", begun=bool(number)) == f"Reply {number}."
        assert self.said(fake, session) == ["Yes"] * 3
        assert (await session.attempt(session.turn("Yes"), posting=True)).text
        posts = len(fake.posts("/responses"))
        session.run_id = None
        assert (await session.attempt(session.turn("Yes"), posting=False)).text
        assert len(fake.posts("/responses")) == posts

    @pytest.mark.parametrize("known", [True, False])
    async def test_unanswered_calls_of_an_earlier_attempt_are_answered(
        self,
        fake: FakeOpenAI,
        session: Room,
        known: bool,  # noqa: FBT001
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.begin("1 + 2?")
        await fake.until(lambda: any(one["status"] == "completed" for one in fake.responses.values()))
        session.run_id = session.run_id if known else None
        assert await session.say("1 + 2?", begun=True) == "Three."
        assert self.said(fake, session) == ["1 + 2?"]

    async def test_outputs_are_never_submitted_twice(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await session.open()
        turn = session.turn("1 + 2?")
        await session.attempt(turn, posting=True)
        posts = len(fake.posts("/responses"))
        session.run_id = RunId(next(iter(fake.responses)))
        assert (await session.attempt(turn, posting=False)).text == "Three."
        assert len(fake.posts("/responses")) == posts

    async def test_a_message_without_an_answer_is_answered(self, fake: FakeOpenAI, session: Room) -> None:
        item = {"type": "message", "role": "user", "content": "Hello"}
        thread = await session.open()
        await session.assistant._wire.post(f"/conversations/{thread}/items", {"items": [item]})  # type: ignore[attr-defined]
        assert await session.say("Hello", begun=True) == "You said: Hello"
        assert self.said(fake, session) == ["Hello"]

    async def test_outputs_without_an_answer_are_answered(self, fake: FakeOpenAI, session: Room) -> None:
        call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
        items = [{"type": "message", "role": "user", "content": "Hello"}, call, output]
        thread = await session.open()
        await session.assistant._wire.post(f"/conversations/{thread}/items", {"items": items})  # type: ignore[attr-defined]
        assert await session.say("Hello", begun=True) == "You said: Hello"
        assert [seen.body["input"] for seen in fake.posts("/responses")] == [[]]

    async def test_a_conversation_with_an_unanswerable_call_is_replaced(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        await session.begin("1 + 2?")
        await fake.until(lambda: any(one["status"] == "completed" for one in fake.responses.values()))
        left, session.run_id = session.thread, None
        assert "Never mind" in await session.say("Never mind")
        assert isinstance(session.troubles[0], ThreadLost)
        assert session.thread != left

    async def test_a_rejected_conversation_id_means_a_missing_thread(self, fake: FakeOpenAI, session: Room) -> None:
        error = {"message": "Invalid 'conversation': expected an ID that begins with 'conv'.", "param": "conversation"}
        fake.faults.add(Fault(path="/responses", status=400, body={"error": error}))
        assert await session.say("Hello") == "You said: Hello"
        assert isinstance(session.troubles[0], ThreadLost)

    async def test_the_newest_hundred_exchanges_are_imported(self, assistant: Responses) -> None:
        past = [Exchange(f"Q{number}", f"A{number}") for number in range(120)]
        thread = await assistant.open_thread(past)
        assert await assistant.recall(thread) == past[20:]

    # ------------------------------------------------------------ other servers

    async def test_a_server_without_conversations_is_reported(self, fake: FakeOpenAI, assistant: Responses) -> None:
        fake.features.discard("conversations")
        with pytest.raises(Misconfigured, match="ASSISTANT_BACKEND=chat"):
            await assistant.open_thread([])
        (check,) = await assistant.check()
        assert not check.ok
        assert "ASSISTANT_BACKEND=chat" in check.detail

    async def test_a_server_without_responses_is_reported(self, fake: FakeOpenAI, session: Room) -> None:
        fake.features.discard("responses")
        with pytest.raises(Misconfigured, match="ASSISTANT_BACKEND=chat"):
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
    raw.say(b"{}")
    raw.say(b'{"error": {"message": "%s"}}' % message.encode(), status=status)
    (check,) = await Responses(Wire(raw_client), SETUP, ToolBox([])).check()
    assert check.ok is ok


async def test_the_state_of_a_run_has_precedence_over_an_error_in_its_stream(
    raw: RawServer, raw_client: openai.AsyncOpenAI
) -> None:
    run = {"id": "resp_1", "object": "response", "status": "in_progress", "background": True}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]}
    events = [{"type": "response.created", "response": run}, {"type": "error", "code": "rate_limit_exceeded"}]
    raw.stream(*(b"data: %s\n\n" % json.dumps(event).encode() for event in events))
    raw.say(json.dumps({**run, "status": "completed", "output": [said]}).encode())
    session = Room(Responses(Wire(raw_client), SETUP, ToolBox([])), thread=ThreadId("conv_1"))
    assert await session.say("Hello") == "Here."
    assert not session.troubles


async def test_a_run_that_stays_queued_is_cancelled(
    raw: RawServer, raw_client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "QUEUE_SECONDS", 0.0)
    session = Room(Responses(Wire(raw_client), SETUP, ToolBox([])), thread=ThreadId("conv_1"))
    queued = b'{"id": "resp_1", "object": "response", "status": "queued", "background": true}'
    raw.say(queued)
    raw.say(queued)
    raw.say(queued.replace(b"queued", b"cancelled"))
    with pytest.raises(RateLimited, match="queued"):
        await session.attempt(session.turn("Hello"), posting=True)
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
    def session(self, client: openai.AsyncOpenAI) -> Room:
        return Room(Responses(Wire(client), SETUP, ToolBox([])))

    @pytest.mark.parametrize("name", BREAKS)
    async def test_the_reply_is_complete_and_the_message_stored_once_despite_faults(
        self, fake: FakeOpenAI, session: Room, name: str
    ) -> None:
        await session.say("First")
        fake.faults.add(Fault(path="/responses", **BREAKS[name]))
        assert await session.say("Second") == "You said: Second"
        assert fake.user_texts(await session.open()) == ["First", "Second"]

    async def test_closing_the_connection_cancels_the_response(self, fake: FakeOpenAI, session: Room) -> None:
        fake.script(Hang())
        await session.begin("Wait")
        await session.assistant.cancel(await session.open(), session.run_id)
        assert await session.say("Next") == "You said: Next"

    async def test_history_of_an_unknown_conversation_is_none(self, session: Room) -> None:
        with pytest.raises(ThreadLost):
            await session.assistant.resume(session.turn("Hello"), ThreadId("conv_x"), None, session.history).__anext__()
