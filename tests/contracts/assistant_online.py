"""What every backend that speaks to a server must do: tools, and everything that breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.errors import AssistantError, RateLimited, Unavailable
from gateway.messages import Answered, Exchange
from gateway.ports import Assistant
from gateway.tools import ToolBox, tool
from tests.contracts.assistant import AssistantContract
from tests.contracts.assistant_room import SHORT, Room
from tests.fakes.openai_server import CallTool, FakeOpenAI, Fault, Hang, Say

MODEL = "gpt-4o"
"""That every backend here is set up for."""
RAN: list[int] = []


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    RAN.append(a)
    return a + b


BREAKS: Mapping[str, Mapping[str, Any]] = {
    "drop before acting": {"kind": "drop_before"},
    "drop after acting": {"kind": "drop_after"},
    "cut at once": {"kind": "cut"},
    "cut soon": {"kind": "cut", "after": 2},
    "cut late": {"kind": "cut", "after": 7},
    "end at once": {"kind": "end_early"},
    "end early": {"kind": "end_early", "after": 6},
    "garbage": {"kind": "garbage", "after": 5},
    "error event": {"kind": "error_event", "after": 5},
    "server error": {"status": 500},
    "bad gateway": {"status": 502, "body": "<html>Bad gateway</html>"},
    "rate limit": {"status": 429, "headers": {"retry-after": "0"}},
    "conflict": {"status": 409},
}
"""What may happen to a request, by name."""


class Served:
    """What the backend's server is, and what there is to call."""

    RUNS: str
    """The path that begins runs."""

    @pytest.fixture
    def fake(self) -> Iterator[FakeOpenAI]:
        with FakeOpenAI() as fake:
            fake.reply = lambda texts: "You said: " + " | ".join(filter(None, texts))
            yield fake

    @pytest.fixture
    def toolbox(self) -> ToolBox:
        return ToolBox([add], time_limit=5.0)


class OnlineContract(Served, AssistantContract):
    """For every backend that speaks to a server. The subclass makes ``assistant`` with ``fake`` and ``toolbox``."""

    OUTPUTS: str
    """The path that takes the outputs of tools."""

    def said(self, fake: FakeOpenAI, room: Room) -> list[str]:
        """The person's messages that the assistant has before it, oldest first."""
        assert room.thread is not None
        return fake.user_texts(room.thread)

    # ------------------------------------------------------------ what it costs

    async def test_the_model_that_answered_is_named(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        await room.say("1 + 2?")
        assert room.answer.model == MODEL

    async def test_the_model_is_named_when_another_process_finishes(self, room: Room) -> None:
        await room.begin("Hello")
        await room.say("Hello", begun=True)
        assert room.answer.model == MODEL

    # ------------------------------------------------------------ tools

    async def test_a_tool_is_run_and_its_output_used(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        assert await room.say("1 + 2?") == "It is three."
        (posted,) = fake.posts(self.OUTPUTS)[-1:]
        assert "3" in str(posted.body)

    async def test_a_tool_is_told_once_as_it_begins_and_once_when_it_is_done(
        self, fake: FakeOpenAI, room: Room
    ) -> None:
        fake.script([CallTool("add", {"a": 1, "b": 2}), CallTool("add", {"a": 3, "b": 4})], Say("Done."))
        await room.say("Add")
        assert [(call.name, call.output, call.done) for call in room.tools] == [
            ("add", "", False),
            ("add", "", False),
            ("add", "3", True),
            ("add", "7", True),
        ]
        assert room.tools[0].call_id == room.tools[2].call_id != room.tools[1].call_id
        assert room.tools[0].input == '{"a": 1, "b": 2}'

    async def test_a_tool_that_is_not_there_becomes_text_for_the_model(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("subtract"), Say("I cannot."))
        assert await room.say("2 - 1?") == "I cannot."
        assert "There is no tool" in str(fake.posts(self.OUTPUTS)[-1].body)

    async def test_a_model_that_calls_tools_for_ever_is_stopped(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(*[CallTool("add", {"a": 1, "b": 2})] * 30)
        with pytest.raises(AssistantError, match="too many rounds"):
            await room.say("Add")

    async def test_tokens_are_counted_over_all_rounds(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        await room.say("1 + 2?")
        answer = room.moments[-1]
        assert isinstance(answer, Answered)
        assert answer.usage.tokens_in > 0
        assert answer.usage.tokens_out > 0

    # ------------------------------------------------------------ what breaks

    @pytest.mark.parametrize("name", BREAKS)
    async def test_whatever_happens_to_the_post_the_whole_reply_comes_and_the_message_stands_there_once(
        self, fake: FakeOpenAI, room: Room, name: str
    ) -> None:
        await room.say("First")
        fake.faults.add(Fault(path=self.RUNS, **BREAKS[name]))
        assert await room.say("Second") == "You said: First | You said: First | Second"
        assert not fake.faults.pending
        assert await room.say("Third")
        assert self.said(fake, room) == ["First", "Second", "Third"]

    @pytest.mark.parametrize("name", BREAKS)
    async def test_whatever_happens_to_the_outputs_the_whole_reply_comes_and_the_message_stands_there_once(
        self, fake: FakeOpenAI, room: Room, name: str
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        skip = 1 if self.OUTPUTS == self.RUNS else 0
        fake.faults.add(Fault(path=self.OUTPUTS, skip=skip, **BREAKS[name]))
        assert await room.say("1 + 2?") == "You said: 1 + 2?"
        assert not fake.faults.pending
        assert await room.say("Next")
        assert self.said(fake, room) == ["1 + 2?", "Next"]

    @pytest.mark.parametrize("name", ["cut soon", "cut late", "end early", "garbage", "error event"])
    async def test_what_was_shown_is_not_shown_again(self, fake: FakeOpenAI, room: Room, name: str) -> None:
        fake.chunks = 10
        fake.faults.add(Fault(path=self.RUNS, **BREAKS[name]))
        reply = await room.say("Tell me something long")
        assert reply == "You said: Tell me something long"
        assert room.shown == reply

    async def test_one_break_after_the_other_is_borne(self, fake: FakeOpenAI, room: Room) -> None:
        fake.faults.add(*(Fault(path=self.RUNS, **BREAKS[name]) for name in ("server error", "rate limit", "cut soon")))
        assert await room.say("Hello") == "You said: Hello"
        assert self.said(fake, room) == ["Hello"]

    async def test_a_server_that_is_away_for_a_while_is_waited_for(self, fake: FakeOpenAI, room: Room) -> None:
        await room.open()
        fake.stop()
        with pytest.raises(Unavailable):
            await room.attempt(room.turn("Hello"), posting=True)
        fake.start()
        assert await room.say("Hello", begun=True) == "You said: Hello"
        assert self.said(fake, room) == ["Hello"]

    @pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, Unavailable)])
    async def test_a_retry_after_is_handed_on(
        self, fake: FakeOpenAI, room: Room, status: int, kind: type[AssistantError]
    ) -> None:
        fake.faults.add(Fault(path=self.RUNS, status=status, headers={"retry-after": "7"}))
        await room.open()
        with pytest.raises(kind) as caught:
            await room.attempt(room.turn("Hello"), posting=True)
        assert caught.value.retry_after == 7

    async def test_no_credit_is_nothing_that_waiting_helps(self, fake: FakeOpenAI, room: Room) -> None:
        error = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": None}
        fake.faults.add(Fault(path=self.RUNS, status=429, body={"error": {**error, "code": "insufficient_quota"}}))
        with pytest.raises(AssistantError) as caught:
            await room.say("Hello")
        assert caught.value.code == "no_credit"
        assert "credit" in caught.value.sentence

    async def test_a_key_that_is_not_accepted_is_said_without_the_key(self, fake: FakeOpenAI, room: Room) -> None:
        error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}
        fake.faults.add(Fault(method=".*", times=None, status=401, body={"error": error}))
        (check,) = await room.assistant.check()
        assert not check.ok
        assert "OPENAI_API_KEY" in check.detail
        assert "sk-secret" not in check.detail

    # ------------------------------------------------------------ what goes on without us

    async def test_stopping_a_run_frees_its_thread(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script([Hang(), Say("Never")])
        await room.begin("Wait")
        await room.assistant.cancel(await room.open(), room.run_id)
        room.run_id = None
        assert "Go on" in await room.say("Go on")

    async def test_what_an_earlier_process_left_is_finished(self, fake: FakeOpenAI, room: Room) -> None:
        fake.script(Say("Here I am.", chunks=6, hold_after=3))
        await room.begin("Where are you?")
        asyncio.get_running_loop().call_later(SHORT, fake.release)
        reply = await room.say("Where are you?", begun=True)
        assert reply in {"Here I am.", "You said: Where are you?"}  # the second where a run ends with its connection
        assert self.said(fake, room) == ["Where are you?"]

    async def test_a_thread_that_the_server_lost_is_opened_again_and_remembers(
        self, fake: FakeOpenAI, room: Room
    ) -> None:
        await room.say("I am Ada.")
        lost = await room.open()
        fake.lose(lost)
        assert "I am Ada." in await room.say("Who am I?")
        assert self.said(fake, room) == ["I am Ada.", "Who am I?"]

    async def test_a_thread_that_the_server_lost_during_a_run_is_opened_again(
        self, fake: FakeOpenAI, room: Room
    ) -> None:
        await room.say("I am Ada.")
        fake.script(Hang())
        await room.begin("Who am I?")
        fake.lose(await room.open())
        for name in (*fake.runs, *fake.responses):
            fake.lose(name)
        assert "I am Ada." in await room.say("Who am I?", begun=True)
        assert self.said(fake, room) == ["I am Ada.", "Who am I?"]
        fake.release()

    async def test_a_long_past_is_remembered_whole(self, fake: FakeOpenAI, assistant: Assistant) -> None:
        past = [Exchange(f"Question {number}.", f"Answer {number}.") for number in range(27)]
        room = Room(assistant, past=list(past))
        reply = await room.say("And now?")
        assert all(f"{one.text} | {one.reply}" in reply for one in past)
