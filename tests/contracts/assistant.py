"""What every backend must do. Subclass, give the fixtures, and the promises of the port are checked.

``OnlineContract`` adds what only a server can do to one: tools, and everything that breaks on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.errors import AssistantError, RateLimited, ThreadBusy, ThreadLost, Unavailable
from gateway.messages import (
    Answered,
    ConversationKey,
    Exchange,
    Message,
    RunEvent,
    RunId,
    RunStarted,
    TextDelta,
    ThreadId,
    ToolCall,
    Turn,
    TurnId,
    TurnState,
)
from gateway.ports import Assistant
from gateway.tools import ToolBox, tool
from tests.fakes.openai_server import CallTool, FakeOpenAI, Fault, Hang, Say

ATTEMPTS = 12
SHORT = 0.02
"""Seconds, instead of those that an error asks for."""


@dataclass
class Room:
    """A conversation with a backend, kept as the core does: post once, look after trouble, reopen what is lost."""

    assistant: Assistant
    past: list[Exchange] = field(default_factory=list)
    thread: ThreadId | None = None
    moments: list[RunEvent] = field(default_factory=list)
    """What the last call of run or resume yielded."""
    troubles: list[AssistantError] = field(default_factory=list)
    run_id: RunId | None = None

    async def open(self) -> ThreadId:
        if self.thread is None:
            self.thread = await self.assistant.open_thread(tuple(self.past))
        return self.thread

    async def history(self) -> Sequence[Exchange]:
        return tuple(self.past)

    def turn(self, text: str) -> Turn:
        number = len(self.past) + 1
        message = Message(ConversationKey("test"), f"m{number}", text)
        return Turn(TurnId(f"turn_{number}"), 1, number, message, TurnState.RUNNING)

    async def say(self, text: str, *, begun: bool = False) -> str:
        """The reply, however often that has to be tried. ``begun``: an earlier process may have begun with it."""
        turn = self.turn(text)
        for _ in range(ATTEMPTS):
            posting = not begun
            begun = True
            try:
                answer = await self.attempt(turn, posting=posting)
            except ThreadLost as exc:
                self.troubles.append(exc)
                self.thread, self.run_id, begun = None, None, False
            except (RateLimited, ThreadBusy) as exc:
                self.troubles.append(exc)
                begun = not posting or self.run_id is not None
                self.run_id = None
                await asyncio.sleep(SHORT)
            except Unavailable as exc:
                self.troubles.append(exc)
                await asyncio.sleep(SHORT)
            else:
                self.past.append(Exchange(text, answer.text))
                self.run_id = None
                return answer.text
        raise AssertionError(f"no answer in {ATTEMPTS} attempts: {self.troubles}")

    async def attempt(self, turn: Turn, *, posting: bool) -> Answered:
        thread = await self.open()
        call = self.assistant.run(turn, thread, self.history) if posting else self.resumed(turn)
        self.moments = []
        async with aclosing(call) as run:
            async for moment in run:
                self.moments.append(moment)
                if isinstance(moment, RunStarted):
                    self.run_id = moment.run_id
                if isinstance(moment, Answered):
                    return moment
        raise AssertionError("it ended without an answer, and without an error")

    def resumed(self, turn: Turn) -> AsyncGenerator[RunEvent, None]:
        assert self.thread is not None
        return self.assistant.resume(turn, self.thread, self.run_id, self.history)

    async def begin(self, text: str) -> None:
        """Let a run begin, and go away as a process does that is killed."""
        turn = self.turn(text)
        async with aclosing(self.assistant.run(turn, await self.open(), self.history)) as run:
            async for moment in run:
                if isinstance(moment, RunStarted):
                    self.run_id = moment.run_id
                    return

    @property
    def shown(self) -> str:
        return "".join(moment.text for moment in self.moments if isinstance(moment, TextDelta))

    @property
    def tools(self) -> list[ToolCall]:
        return [moment for moment in self.moments if isinstance(moment, ToolCall)]


class AssistantContract:
    """For every backend. The subclass gives ``assistant``."""

    @pytest.fixture
    def room(self, assistant: Assistant) -> Room:
        return Room(assistant)

    async def test_a_message_is_answered(self, room: Room) -> None:
        reply = await room.say("Hello")
        assert "Hello" in reply
        assert room.moments[-1] == Answered(reply, room.moments[-1].usage)  # type: ignore[union-attr]

    async def test_the_run_has_an_id_before_anything_is_shown(self, room: Room) -> None:
        await room.say("Hello")
        assert isinstance(room.moments[0], RunStarted)
        assert room.moments[0].run_id

    async def test_what_is_shown_is_the_reply(self, room: Room) -> None:
        reply = await room.say("Tell me something")
        assert room.shown == reply
        assert sum(isinstance(moment, TextDelta) for moment in room.moments) > 1

    async def test_a_thread_remembers(self, room: Room) -> None:
        await room.say("I am Ada.")
        assert "I am Ada." in await room.say("Who am I?")

    async def test_a_new_thread_remembers_what_it_was_opened_with(self, assistant: Assistant) -> None:
        room = Room(assistant, past=[Exchange("I am Ada.", "Hello Ada.")])
        assert "I am Ada." in await room.say("Who am I?")

    async def test_threads_know_nothing_of_each_other(self, assistant: Assistant) -> None:
        ada, bob = Room(assistant), Room(assistant)
        await ada.say("I am Ada.")
        assert "Ada" not in await bob.say("Who am I?")
        assert ada.thread != bob.thread

    async def test_a_turn_that_was_answered_before_is_answered_alike(self, room: Room) -> None:
        await room.open()
        turn = room.turn("Hello")
        first = await room.attempt(turn, posting=True)
        assert (await room.attempt(turn, posting=False)).text == first.text

    async def test_a_turn_that_never_began_is_begun(self, room: Room) -> None:
        await room.open()
        assert "Hello" in await room.say("Hello", begun=True)

    async def test_stopping_what_is_over_is_no_error(self, room: Room) -> None:
        await room.say("Hello")
        run_id = next(moment.run_id for moment in room.moments if isinstance(moment, RunStarted))
        await room.assistant.cancel(await room.open(), run_id)
        await room.assistant.cancel(await room.open(), None)
        assert "Again" in await room.say("Again")

    async def test_a_thread_can_be_forgotten_twice(self, room: Room) -> None:
        thread = await room.open()
        await room.assistant.forget(thread)
        await room.assistant.forget(thread)

    @pytest.mark.parametrize("name", ["nobody", "../models", "..", "a/b?c=d", "ü" * 300, "x" * 300])
    async def test_a_thread_that_nobody_opened_is_not_recalled(self, assistant: Assistant, name: str) -> None:
        assert await assistant.recall(ThreadId(name)) is None
        await assistant.forget(ThreadId(name))

    async def test_it_says_that_it_answers(self, assistant: Assistant) -> None:
        (check,) = await assistant.check()
        assert check.ok, check.detail
        assert assistant.name in check.detail


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


class OnlineContract(AssistantContract):
    """For every backend that speaks to a server. The subclass makes ``assistant`` with ``fake`` and ``toolbox``."""

    RUNS: str
    """The path that begins runs."""
    OUTPUTS: str
    """The path that takes the outputs of tools."""

    @pytest.fixture
    def fake(self) -> Iterator[FakeOpenAI]:
        with FakeOpenAI() as fake:
            fake.reply = lambda texts: "You said: " + " | ".join(filter(None, texts))
            yield fake

    @pytest.fixture
    def toolbox(self) -> ToolBox:
        return ToolBox([add], time_limit=5.0)

    def said(self, fake: FakeOpenAI, room: Room) -> list[str]:
        """The person's messages that the assistant has before it, oldest first."""
        assert room.thread is not None
        return fake.user_texts(room.thread)

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
