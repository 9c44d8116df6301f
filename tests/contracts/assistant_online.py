"""The contract of every backend that uses a server: tools, and recovery from all kinds of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from gateway.domain.errors import AssistantError, AssistantRateLimited, AssistantUnavailable
from gateway.domain.exchange import Exchange
from gateway.domain.models import RunId, Usage
from gateway.domain.run_events import RunCompleted, RunStarted, TextDelta, UsageCounted
from gateway.ports.assistant import Assistant
from gateway.tools import ToolBox, tool
from tests.contracts.assistant import AssistantContract
from tests.contracts.assistant_session import RETRY_SECONDS, AssistantSession
from tests.fakes.openai_server import CallTool, FakeOpenAI, Hang, HttpFault, Say

MODEL = "gpt-4o"
"""The model that every backend is configured for here."""
TOOL_RUNS: list[int] = []


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    TOOL_RUNS.append(a)
    return a + b


FAULTS: Mapping[str, Mapping[str, Any]] = {
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
"""Faults of a request, by name."""


class WithFakeServer:
    """Supplies the fake server and the tools."""

    RUN_PATH: str
    """The path that creates runs."""

    @pytest.fixture
    def fake(self) -> Iterator[FakeOpenAI]:
        with FakeOpenAI() as fake:
            fake.reply = lambda texts: "You said: " + " | ".join(filter(None, texts))
            yield fake

    @pytest.fixture
    def toolbox(self) -> ToolBox:
        return ToolBox([add], time_limit=5.0)


class OnlineContract(WithFakeServer, AssistantContract):
    """For every backend that uses a server. The subclass creates ``assistant`` with ``fake`` and ``toolbox``."""

    OUTPUTS_PATH: str
    """The path for the outputs of tools."""

    def user_texts(self, fake: FakeOpenAI, session: AssistantSession) -> list[str]:
        """Returns the user's messages in the thread, oldest first."""
        assert session.thread_id is not None
        return fake.user_texts(session.thread_id)

    # ------------------------------------------------------------ usage

    async def test_the_model_that_answered_is_named(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        await session.say("1 + 2?")
        assert session.answer.model == MODEL

    async def test_the_model_is_named_when_another_process_finishes(self, session: AssistantSession) -> None:
        await session.begin_and_abandon("Hello")
        await session.say("Hello", may_have_begun=True)
        assert session.answer.model == MODEL

    async def test_what_was_counted_for_a_run_is_told_before_the_answer(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        await session.say("1 + 2?")
        counted = [event for event in session.events if isinstance(event, UsageCounted)]
        assert sum((each.usage for each in counted), Usage()) in (Usage(), session.answer.usage)
        assert {each.model for each in counted} <= {MODEL}
        if session.assistant.resumes_runs:
            assert session.run_id is None
            assert session.thread_id is not None
            run = [event.run_id for event in session.events if isinstance(event, RunStarted)][-1]
            looked_up = await session.assistant.run_usage(session.thread_id, run)
            assert looked_up is not None
            assert looked_up.usage.tokens_in > 0
            assert looked_up.model == MODEL

    async def test_a_run_that_the_server_does_not_know_was_not_counted(self, session: AssistantSession) -> None:
        await session.say("Hello")
        assert session.thread_id is not None
        assert await session.assistant.run_usage(session.thread_id, RunId("run_unknown")) is None

    # ------------------------------------------------------------ tools

    async def test_a_tool_is_run_and_its_output_used(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        assert await session.say("1 + 2?") == "It is three."
        (posted,) = fake.posts(self.OUTPUTS_PATH)[-1:]
        assert "3" in str(posted.body)

    async def test_a_tool_call_is_reported_at_start_and_end(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([CallTool("add", {"a": 1, "b": 2}), CallTool("add", {"a": 3, "b": 4})], Say("Done."))
        await session.say("Add")
        assert [(call.name, call.output, call.done) for call in session.tool_calls] == [
            ("add", "", False),
            ("add", "", False),
            ("add", "3", True),
            ("add", "7", True),
        ]
        assert session.tool_calls[0].call_id == session.tool_calls[2].call_id != session.tool_calls[1].call_id
        assert session.tool_calls[0].input == '{"a": 1, "b": 2}'

    async def test_an_unknown_tool_becomes_an_error_text_for_the_model(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("subtract"), Say("I cannot."))
        assert await session.say("2 - 1?") == "I cannot."
        assert "There is no tool" in str(fake.posts(self.OUTPUTS_PATH)[-1].body)

    async def test_endless_tool_calls_are_stopped(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(*[CallTool("add", {"a": 1, "b": 2})] * 30)
        with pytest.raises(AssistantError, match="too many rounds"):
            await session.say("Add")

    async def test_tokens_are_counted_over_all_rounds(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("It is three."))
        await session.say("1 + 2?")
        answer = session.events[-1]
        assert isinstance(answer, RunCompleted)
        assert answer.usage.tokens_in > 0
        assert answer.usage.tokens_out > 0

    # ------------------------------------------------------------ failures

    @pytest.mark.parametrize("name", FAULTS)
    async def test_the_reply_is_complete_and_the_message_stored_once_despite_faults_of_the_post(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        await session.say("First")
        fake.faults.add(HttpFault(path=self.RUN_PATH, **FAULTS[name]))
        assert await session.say("Second") == "You said: First | You said: First | Second"
        assert not fake.faults.pending
        assert await session.say("Third")
        assert self.user_texts(fake, session) == ["First", "Second", "Third"]

    @pytest.mark.parametrize("name", FAULTS)
    async def test_the_reply_is_complete_and_the_message_stored_once_despite_faults_of_the_outputs(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        skip = 1 if self.OUTPUTS_PATH == self.RUN_PATH else 0
        fake.faults.add(HttpFault(path=self.OUTPUTS_PATH, skip=skip, **FAULTS[name]))
        assert await session.say("1 + 2?") == "You said: 1 + 2?"
        assert not fake.faults.pending
        assert await session.say("Next")
        assert self.user_texts(fake, session) == ["1 + 2?", "Next"]

    @pytest.mark.parametrize("name", ["cut soon", "cut late", "end early", "garbage", "error event"])
    async def test_shown_text_is_not_repeated(self, fake: FakeOpenAI, session: AssistantSession, name: str) -> None:
        fake.chunks = 10
        fake.faults.add(HttpFault(path=self.RUN_PATH, **FAULTS[name]))
        reply = await session.say("Tell me something long")
        assert reply == "You said: Tell me something long"
        assert session.shown_text == reply

    async def test_several_failures_in_a_row_are_tolerated(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.faults.add(
            *(HttpFault(path=self.RUN_PATH, **FAULTS[name]) for name in ("server error", "rate limit", "cut soon"))
        )
        assert await session.say("Hello") == "You said: Hello"
        assert self.user_texts(fake, session) == ["Hello"]

    async def test_a_turn_resumes_after_the_server_was_unreachable(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        await session.open_thread()
        fake.stop()
        with pytest.raises(AssistantUnavailable):
            await session.attempt(session.make_turn("Hello"), first=True)
        fake.start()
        assert await session.say("Hello", may_have_begun=True) == "You said: Hello"
        assert self.user_texts(fake, session) == ["Hello"]

    @pytest.mark.parametrize(("status", "kind"), [(429, AssistantRateLimited), (503, AssistantUnavailable)])
    async def test_retry_after_is_passed_on(
        self, fake: FakeOpenAI, session: AssistantSession, status: int, kind: type[AssistantError]
    ) -> None:
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=status, headers={"retry-after": "7"}))
        await session.open_thread()
        with pytest.raises(kind) as caught:
            await session.attempt(session.make_turn("Hello"), first=True)
        assert caught.value.retry_after == 7

    async def test_missing_credit_is_a_permanent_error(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        error = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": None}
        fake.faults.add(
            HttpFault(path=self.RUN_PATH, status=429, body={"error": {**error, "code": "insufficient_quota"}})
        )
        with pytest.raises(AssistantError) as caught:
            await session.say("Hello")
        assert caught.value.code == "no_credit"
        assert "credit" in caught.value.user_message

    async def test_a_rejected_key_is_reported_without_the_key(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}
        fake.faults.add(HttpFault(method=".*", times=None, status=401, body={"error": error}))
        (check,) = await session.assistant.check()
        assert not check.ok
        assert "OPENAI_API_KEY" in check.detail
        assert "sk-secret" not in check.detail

    # ------------------------------------------------------------ streams

    async def test_text_is_shown_while_the_rest_is_written(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Say("Here I am.", chunks=2, hold_after=1))
        turn, shown = session.make_turn("Where are you?"), list[str]()
        async with aclosing(session.assistant.run(turn, await session.open_thread(), *session.loaders)) as run:
            async for event in run:
                if isinstance(event, TextDelta):
                    shown.append(event.text)
                    fake.release()
        assert "".join(shown) == "Here I am."
        assert len(shown) > 1

    # ------------------------------------------------------------ runs and threads that change without the gateway

    async def test_cancelling_a_run_unlocks_its_thread(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([Hang(), Say("Never")])
        await session.begin_and_abandon("Wait")
        await session.assistant.cancel_run(await session.open_thread(), session.run_id)
        session.run_id = None
        assert "Go on" in await session.say("Go on")

    async def test_a_run_of_an_earlier_process_is_finished(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Say("Here I am.", chunks=6, hold_after=3))
        await session.begin_and_abandon("Where are you?")
        asyncio.get_running_loop().call_later(RETRY_SECONDS, fake.release)
        reply = await session.say("Where are you?", may_have_begun=True)
        assert reply in {"Here I am.", "You said: Where are you?"}  # the second where a run ends with its connection
        assert self.user_texts(fake, session) == ["Where are you?"]

    async def test_a_thread_lost_by_the_server_is_recreated_with_history(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        await session.say("I am Ada.")
        lost = await session.open_thread()
        fake.forget_object(lost)
        assert "I am Ada." in await session.say("Who am I?")
        assert self.user_texts(fake, session) == ["I am Ada.", "Who am I?"]

    async def test_a_thread_lost_during_a_run_is_recreated(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        await session.say("I am Ada.")
        fake.script(Hang())
        await session.begin_and_abandon("Who am I?")
        fake.forget_object(await session.open_thread())
        for name in (*fake.runs, *fake.responses):
            fake.forget_object(name)
        assert "I am Ada." in await session.say("Who am I?", may_have_begun=True)
        assert self.user_texts(fake, session) == ["I am Ada.", "Who am I?"]
        fake.release()

    async def test_a_long_history_is_stored_completely(self, fake: FakeOpenAI, assistant: Assistant) -> None:
        past = [Exchange(f"Question {number}.", f"Answer {number}.") for number in range(27)]
        session = AssistantSession(assistant, exchanges=list(past))
        reply = await session.say("And now?")
        assert all(f"{one.text} | {one.reply}" in reply for one in past)
