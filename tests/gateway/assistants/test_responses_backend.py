"""The backend ``responses``: the contract, and what only conversations and responses do."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import openai
import pytest

from gateway.assistants import responses
from gateway.assistants.client import Setup, Wire
from gateway.assistants.responses import Responses
from gateway.errors import Misconfigured, RateLimited, Refused, ThreadBusy, ThreadLost, Unavailable
from gateway.messages import Exchange, RunId, ThreadId, ToolCall
from gateway.tools import ToolBox
from tests.contracts.assistant_online import BREAKS, OnlineContract
from tests.contracts.assistant_room import Room
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

    # ------------------------------------------------------------ what is asked

    async def test_a_turn_is_one_post(self, fake: FakeOpenAI, room: Room) -> None:
        await room.open()
        before = len(fake.requests)
        await room.say("Hello")
        assert [(seen.method, seen.path) for seen in fake.requests[before:]] == [("POST", "/responses")]

    async def test_the_post_says_all_that_a_conversation_does_not_remember(self, fake: FakeOpenAI, room: Room) -> None:
        await room.say("Hello")
        await room.say("Again")
        for seen in fake.posts("/responses"):
            assert seen.body["instructions"] == "Be brief."
            assert seen.body["model"] == "gpt-4o"
            assert seen.body["conversation"] == room.thread
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

    async def test_what_the_server_refuses_is_left_out_from_then_on(self, fake: FakeOpenAI, room: Room) -> None:
        error = {"message": "Background mode is not supported for Zero Data Retention.", "param": "background"}
        fake.faults.add(Fault(path="/responses", status=400, body={"error": error}))
        await room.say("Hello")
        await room.say("Again")
        assert [seen.body.get("background") for seen in fake.posts("/responses")] == [True, None, None]

    async def test_many_turns_may_learn_at_once_what_the_server_refuses(
        self, fake: FakeOpenAI, assistant: Responses
    ) -> None:
        gate = threading.Event()
        error = {"message": "Background mode is not supported.", "param": "background"}
        fake.faults.add(Fault(path="/responses", status=400, body={"error": error}, gate=gate, times=3))
        talks = asyncio.gather(*(Room(assistant).say("Hello") for _ in range(3)))
        await fake.arrival("POST", "/responses", 3)
        gate.set()
        assert await talks == ["You said: Hello"] * 3

    async def test_without_streaming_it_polls(self, fake: FakeOpenAI, make: Make) -> None:
        room = Room(make(streamed=False))
        fake.script(CallTool("add", {"a": 1, "b": 2}), [HostedTool("code_interpreter", "1+1", "2"), Say("Three.")])
        assert await room.say("1 + 2?") == room.shown == "Three."
        assert [call.name for call in room.tools] == ["add", "add", "code_interpreter", "code_interpreter"]
        assert [seen.body["stream"] for seen in fake.posts("/responses")] == [False, False]

    # ------------------------------------------------------------ what is told

    async def test_tools_of_the_server_are_told_as_they_happen(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(
            [
                Reason("It wants a number."),
                HostedTool("web_search", "how many"),
                HostedTool("code_interpreter", "print(6*7)", "42"),
                Say("42."),
            ]
        )
        await room.say("How many?")
        names = {call.call_id: call.name for call in room.tools}
        reason, search, code = names
        assert list(names.values()) == ["reasoning", "web_search", "code_interpreter"]
        assert room.tools == [
            ToolCall(reason, "reasoning"),
            ToolCall(reason, "reasoning", output="It wants a number.", done=True),
            ToolCall(search, "web_search"),
            ToolCall(search, "web_search", "how many", done=True),
            ToolCall(code, "code_interpreter", "print(6*7)"),
            ToolCall(code, "code_interpreter", "print(6*7)", "42", done=True),
        ]

    async def test_several_messages_are_one_reply(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script([Say("Let me see."), CallTool("add", {"a": 1, "b": 2})], Say("Three."))
        assert await room.say("1 + 2?") == room.shown == "Let me see.\n\nThree."

    async def test_a_refusal_is_a_reply(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(Say("I would rather not.", refusal=True))
        assert await room.say("Do it") == room.shown == "I would rather not."

    @pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error"])
    async def test_a_run_that_failed_is_tried_again(self, fake: FakeOpenAI, room: Room, code: str) -> None:
        fake.script(Fail(code), Say("Here."))
        assert await room.say("Hello") == "Here."
        assert isinstance(room.troubles[0], RateLimited | Unavailable)
        assert self.said(fake, room) == ["Hello"]

    @pytest.mark.parametrize("act", [Fail("invalid_prompt"), Incomplete(), Incomplete("content_filter")])
    async def test_a_run_that_cannot_succeed_says_so_in_a_sentence(
        self, fake: FakeOpenAI, room: Room, act: Fail | Incomplete
    ) -> None:
        fake.script([Say("Half an ans"), act])
        with pytest.raises(Refused) as caught:
            await room.say("Hello")
        assert caught.value.sentence.endswith(".")

    async def test_a_model_that_there_is_not_is_named(self, make: Make) -> None:
        assistant = make(model=NO_MODEL)
        with pytest.raises(Misconfigured, match="OPENAI_MODEL"):
            await Room(assistant).say("Hello")
        (check,) = await assistant.check()
        assert not check.ok

    # ------------------------------------------------------------ one run at a time

    async def test_a_busy_conversation_is_no_lost_one(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(Hang())
        await room.begin("Wait")
        with pytest.raises(ThreadBusy) as caught:
            await room.attempt(room.turn("Now"), posting=True)
        assert 0.5 <= (caught.value.retry_after or 0) <= 2
        fake.release()

    async def test_a_run_whose_id_was_lost_is_waited_for(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script([Hang(), Say("Late.")])
        fake.faults.add(Fault(path="/responses", kind="cut"))
        with pytest.raises(Unavailable):
            await room.attempt(room.turn("Hello"), posting=True)
        with pytest.raises(ThreadBusy):
            await room.attempt(room.turn("Hello"), posting=False)
        fake.release()
        await fake.until(lambda: fake.user_texts(room.thread or "") == ["Hello"])
        assert await room.say("Hello", begun=True) == "Late."
        assert self.said(fake, room) == ["Hello"]

    async def test_a_run_that_ends_between_look_and_post_is_taken(self, fake: FakeOpenAI, room: Room) -> None:
        gate = threading.Event()
        fake.script([Hang(), Say("First.")])
        fake.faults.add(Fault(path="/responses", kind="cut"), Fault(path="/responses", gate=gate))
        with pytest.raises(Unavailable):
            await room.attempt(room.turn("Hello"), posting=True)
        again = asyncio.create_task(room.say("Hello", begun=True))
        await fake.arrival("POST", "/responses", 2)
        fake.release()
        await fake.until(lambda: fake.user_texts(room.thread or "") == ["Hello"])
        fake.script(Hang())
        gate.set()
        assert await again == "First."
        assert self.said(fake, room) == ["Hello"]
        assert "Next" in await room.say("Next")

    async def test_a_cancelled_run_is_not_begun_again(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(Hang())
        await room.begin("Wait")
        await room.assistant.cancel(await room.open(), room.run_id)
        with pytest.raises(Refused, match="cancelled"):
            await room.attempt(room.turn("Wait"), posting=False)

    # ------------------------------------------------------------ what an earlier attempt left

    async def test_the_same_words_said_again_are_another_message(self, fake: FakeOpenAI, room: Room) -> None:
        for number in range(3):
            fake.script(f"Reply {number}.")
            assert await room.say("Yes", begun=bool(number)) == f"Reply {number}."
        assert self.said(fake, room) == ["Yes"] * 3
        assert (await room.attempt(room.turn("Yes"), posting=True)).text
        posts = len(fake.posts("/responses"))
        room.run_id = None
        assert (await room.attempt(room.turn("Yes"), posting=False)).text
        assert len(fake.posts("/responses")) == posts

    @pytest.mark.parametrize("known", [True, False])
    async def test_calls_that_were_left_open_are_answered(self, fake: FakeOpenAI, room: Room, known: bool) -> None:  # noqa: FBT001
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await room.begin("1 + 2?")
        await fake.until(lambda: any(one["status"] == "completed" for one in fake.responses.values()))
        room.run_id = room.run_id if known else None
        assert await room.say("1 + 2?", begun=True) == "Three."
        assert self.said(fake, room) == ["1 + 2?"]

    async def test_outputs_are_never_brought_twice(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        await room.open()
        turn = room.turn("1 + 2?")
        await room.attempt(turn, posting=True)
        posts = len(fake.posts("/responses"))
        room.run_id = RunId(next(iter(fake.responses)))
        assert (await room.attempt(turn, posting=False)).text == "Three."
        assert len(fake.posts("/responses")) == posts

    async def test_a_message_without_an_answer_is_answered(self, fake: FakeOpenAI, room: Room) -> None:
        item = {"type": "message", "role": "user", "content": "Hello"}
        thread = await room.open()
        await room.assistant._wire.post(f"/conversations/{thread}/items", {"items": [item]})  # type: ignore[attr-defined]
        assert await room.say("Hello", begun=True) == "You said: Hello"
        assert self.said(fake, room) == ["Hello"]

    async def test_outputs_without_an_answer_are_answered(self, fake: FakeOpenAI, room: Room) -> None:
        call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
        items = [{"type": "message", "role": "user", "content": "Hello"}, call, output]
        thread = await room.open()
        await room.assistant._wire.post(f"/conversations/{thread}/items", {"items": items})  # type: ignore[attr-defined]
        assert await room.say("Hello", begun=True) == "You said: Hello"
        assert [seen.body["input"] for seen in fake.posts("/responses")] == [[]]

    async def test_a_conversation_with_a_call_that_nobody_answers_is_left(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        await room.begin("1 + 2?")
        await fake.until(lambda: any(one["status"] == "completed" for one in fake.responses.values()))
        left, room.run_id = room.thread, None
        assert "Never mind" in await room.say("Never mind")
        assert isinstance(room.troubles[0], ThreadLost)
        assert room.thread != left

    async def test_what_the_server_does_not_take_for_a_conversation_is_a_lost_one(
        self, fake: FakeOpenAI, room: Room
    ) -> None:
        error = {"message": "Invalid 'conversation': expected an ID that begins with 'conv'.", "param": "conversation"}
        fake.faults.add(Fault(path="/responses", status=400, body={"error": error}))
        assert await room.say("Hello") == "You said: Hello"
        assert isinstance(room.troubles[0], ThreadLost)

    async def test_the_newest_hundred_exchanges_are_recalled(self, assistant: Responses) -> None:
        past = [Exchange(f"Q{number}", f"A{number}") for number in range(120)]
        thread = await assistant.open_thread(past)
        assert await assistant.recall(thread) == past[20:]

    # ------------------------------------------------------------ other servers

    async def test_a_server_without_conversations_is_told_of(self, fake: FakeOpenAI, assistant: Responses) -> None:
        fake.features.discard("conversations")
        with pytest.raises(Misconfigured, match="ASSISTANT_BACKEND=chat"):
            await assistant.open_thread([])
        (check,) = await assistant.check()
        assert not check.ok
        assert "ASSISTANT_BACKEND=chat" in check.detail

    async def test_a_server_without_responses_is_told_of(self, fake: FakeOpenAI, room: Room) -> None:
        fake.features.discard("responses")
        with pytest.raises(Misconfigured, match="ASSISTANT_BACKEND=chat"):
            await room.say("Hello")


@pytest.mark.parametrize(
    ("status", "message", "ok"),
    [
        ("404 Not Found", "Conversation with id 'conv_0' not found.", True),
        ("400 Bad Request", "Invalid conversation_id: conv_0", True),
        ("404 Not Found", "Invalid URL (GET /v1/conversations/conv_0)", False),
        ("404 Not Found", "Not Found", False),
    ],
)
async def test_whether_there_are_conversations_is_seen_by_what_the_server_says(
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


async def test_what_became_of_a_run_counts_more_than_an_error_in_its_stream(
    raw: RawServer, raw_client: openai.AsyncOpenAI
) -> None:
    run = {"id": "resp_1", "object": "response", "status": "in_progress", "background": True}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]}
    events = [{"type": "response.created", "response": run}, {"type": "error", "code": "rate_limit_exceeded"}]
    raw.stream(*(b"data: %s\n\n" % json.dumps(event).encode() for event in events))
    raw.say(json.dumps({**run, "status": "completed", "output": [said]}).encode())
    room = Room(Responses(Wire(raw_client), SETUP, ToolBox([])), thread=ThreadId("conv_1"))
    assert await room.say("Hello") == "Here."
    assert not room.troubles


async def test_a_run_that_is_left_in_the_queue_is_stopped(
    raw: RawServer, raw_client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "QUEUE_SECONDS", 0.0)
    room = Room(Responses(Wire(raw_client), SETUP, ToolBox([])), thread=ThreadId("conv_1"))
    queued = b'{"id": "resp_1", "object": "response", "status": "queued", "background": true}'
    raw.say(queued)
    raw.say(queued)
    raw.say(queued.replace(b"queued", b"cancelled"))
    with pytest.raises(RateLimited, match="queued"):
        await room.attempt(room.turn("Hello"), posting=True)
    assert [request.split(b" HTTP")[0] for request in raw.requests] == [
        b"POST /v1/responses",
        b"GET /v1/responses/resp_1",
        b"POST /v1/responses/resp_1/cancel",
    ]


class TestWithoutBackground:
    """A run that ends with its connection is begun again, unless its items stand in the conversation."""

    RUNS = "/responses"

    @pytest.fixture
    def fake(self) -> object:
        with FakeOpenAI() as fake:
            fake.features.discard("background")
            yield fake

    @pytest.fixture
    def room(self, client: openai.AsyncOpenAI) -> Room:
        return Room(Responses(Wire(client), SETUP, ToolBox([])))

    @pytest.mark.parametrize("name", BREAKS)
    async def test_whatever_happens_the_whole_reply_comes_and_the_message_stands_there_once(
        self, fake: FakeOpenAI, room: Room, name: str
    ) -> None:
        await room.say("First")
        fake.faults.add(Fault(path="/responses", **BREAKS[name]))
        assert await room.say("Second") == "You said: Second"
        assert fake.user_texts(await room.open()) == ["First", "Second"]

    async def test_stopping_it_is_letting_go(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(Hang())
        await room.begin("Wait")
        await room.assistant.cancel(await room.open(), room.run_id)
        assert await room.say("Next") == "You said: Next"

    async def test_nothing_is_known_of_a_thread_that_is_no_conversation(self, room: Room) -> None:
        with pytest.raises(ThreadLost):
            await room.assistant.resume(room.turn("Hello"), ThreadId("conv_x"), None, room.history).__anext__()
