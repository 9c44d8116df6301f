"""The backend ``threads``: the contract, and the behaviour specific to threads and runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.requests.speakers import NOTE
from gateway.assistants.threads.backend import BETA_HEADERS, ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.context import ChatContext
from gateway.domain.errors import (
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantTimedOut,
    AssistantUnavailable,
    ThreadBusy,
)
from gateway.domain.exchange import Exchange
from gateway.domain.models import ThreadId
from gateway.domain.run_events import ToolCall
from gateway.domain.turn_options import TurnOptions
from gateway.tools import ToolBox
from tests.contracts.assistant_late import LateRequestContract, has_open_call
from tests.contracts.assistant_online import FAULTS, TOOL_RUNS, OnlineContract
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.openai_script import Act
from tests.fakes.openai_server import (
    ASSISTANT_ID,
    CallTool,
    Expire,
    Fail,
    FakeOpenAI,
    Hang,
    HostedTool,
    HttpFault,
    Incomplete,
    Say,
)
from tests.fakes.raw_server import KEY, RawServer
from tests.fakes.shared_values import MemorySharedValues

CONFIG = AssistantConfig("gpt-4o", "Be brief.", poll_seconds=0.01)
MakeBackend = Callable[..., ThreadsBackend]
PROTOCOL_REMOVED = "2026-08-26: set ASSISTANT_BACKEND=responses"


def make_threads_backend(
    client: openai.AsyncOpenAI,
    toolbox: ToolBox,
    facts: MemorySharedValues,
    assistant_id: str | None = None,
    **setup: Any,
) -> ThreadsBackend:
    api, wanted = AssistantApiClient(client, BETA_HEADERS), replace(CONFIG, **setup)
    return ThreadsBackend(api, wanted, toolbox, ServerAssistant(api, wanted, toolbox, facts, assistant_id))


class TestThreads(LateRequestContract, OnlineContract):
    RUN_PATH = "/threads/[^/]+/runs"
    OUTPUTS_PATH = "/threads/.*/submit_tool_outputs"

    @pytest.fixture
    def make(self, client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemorySharedValues) -> MakeBackend:
        return lambda **how: make_threads_backend(client, toolbox, facts, **how)

    @pytest.fixture
    def assistant(self, make: MakeBackend) -> ThreadsBackend:
        return make()

    # ------------------------------------------------------------ requests

    async def test_how_tools_are_called_reaches_the_server_with_the_run(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        asked = {"tool_choice": {"type": "function", "function": {"name": "clock"}}, "parallel_tool_calls": False}
        session.options = TurnOptions(parameters=asked)
        await session.say("Hello")
        assert fake.posts(self.RUN_PATH)[-1].body.items() >= asked.items()

    async def test_a_choice_of_some_functions_is_refused_by_name(self, session: AssistantSession) -> None:
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
        session.options = TurnOptions(parameters={"tool_choice": choice})
        with pytest.raises(AssistantRefused, match="allowed_tools"):
            await session.say("Hello")

    async def test_a_run_that_brings_outputs_is_not_forced_to_call_again(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(Say('<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'), Say("Five."))
        session.options = TurnOptions(parameters={"tool_choice": "required"})
        await session.say("2 + 3?")
        choices = [post.body.get("tool_choice") for post in fake.posts(self.RUN_PATH)]
        assert choices == ["required", None]

    async def test_a_turn_is_one_post_of_message_and_run(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        await session.say("Hello")
        before = len(fake.requests)
        await session.say("Again")
        (seen,) = fake.requests[before:]
        assert (seen.method, seen.path) == ("POST", f"/threads/{session.thread_id}/runs")
        metadata = {"turn_id": "turn_2"}
        assert seen.body["additional_messages"] == [{"role": "user", "content": "Again", "metadata": metadata}]
        assert seen.body["metadata"] == metadata

    @pytest.mark.parametrize("configured", [False, True])
    async def test_instructions_are_filled_for_each_run_of_our_own_assistant(
        self,
        fake: FakeOpenAI,
        make: MakeBackend,
        configured: bool,  # noqa: FBT001
    ) -> None:
        assistant_id = ASSISTANT_ID if configured else None
        session = AssistantSession(make(instructions="You are in {{platform}}.", assistant_id=assistant_id))
        await session.say("Hello")
        filled = None if configured else "You are in test."
        assert fake.posts(self.RUN_PATH)[-1].body.get("instructions") == filled

    async def test_the_model_is_told_about_names(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        session.context = ChatContext("Ann Lee")
        await session.say("Hello")
        assert fake.posts(self.RUN_PATH)[-1].body["additional_instructions"] == NOTE
        assert self.user_texts(fake, session) == ["Ann Lee: Hello"]

    async def test_without_streaming_it_polls(self, fake: FakeOpenAI, make: MakeBackend) -> None:
        session = AssistantSession(make(stream=False))
        fake.script(CallTool("add", {"a": 1, "b": 2}), [HostedTool("code_interpreter", "1+1", "2"), Say("Three.")])
        assert await session.say("1 + 2?") == session.shown_text == "Three."
        assert [call.name for call in session.tool_calls] == ["add", "add", "code_interpreter", "code_interpreter"]
        assert not any(seen.body["stream"] for seen in fake.posts(f"{self.RUN_PATH}|{self.OUTPUTS_PATH}"))

    async def test_the_server_sets_the_poll_interval(self, fake: FakeOpenAI, make: MakeBackend) -> None:
        fake.poll_after_ms = 1
        fake.script([Hang(), Say("Here.")])
        waiting = asyncio.create_task(AssistantSession(make(stream=False, poll_seconds=3600.0)).say("Hello"))
        await fake.wait_for_async("GET", "/threads/[^/]+/runs/[^/]+", 2)
        fake.release()
        assert await waiting == "Here."

    @pytest.mark.parametrize(
        "name", ["drop before acting", "drop after acting", "server error", "rate limit", "garbage"]
    )
    async def test_a_failed_poll_is_tolerated(self, fake: FakeOpenAI, make: MakeBackend, name: str) -> None:
        fake.faults.add(HttpFault(method="GET", path="/threads/.*/runs/.*", **{**FAULTS[name], "after": 0}))
        session = AssistantSession(make(stream=False))
        assert await session.say("Hello") == "You said: Hello"
        assert not session.errors

    # ------------------------------------------------------------ events

    async def test_hosted_tools_are_reported_as_they_run(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([HostedTool("code_interpreter", "print(6*7)", "42"), HostedTool("file_search"), Say("42.")])
        await session.say("How many?")
        code, search = session.tool_calls[0].call_id, session.tool_calls[2].call_id
        assert session.tool_calls == [
            ToolCall(code, "code_interpreter", "print(6*7)"),
            ToolCall(code, "code_interpreter", "print(6*7)", "42", done=True),
            ToolCall(search, "file_search"),
            ToolCall(search, "file_search", done=True),
        ]

    async def test_hosted_tools_are_reported_after_an_interrupted_stream(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.faults.add(HttpFault(path=self.RUN_PATH, kind="cut", after=2))
        fake.script([HostedTool("code_interpreter", "print(6*7)", "42"), Say("42.")])
        await session.say("How many?")
        assert [(call.input, call.output) for call in session.tool_calls] == [("print(6*7)", ""), ("print(6*7)", "42")]

    async def test_several_messages_are_one_reply(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([Say("Let me see."), CallTool("add", {"a": 1, "b": 2})], Say("Three."))
        assert await session.say("1 + 2?") == session.shown_text == "Let me see.\n\nThree."

    async def test_text_after_an_interruption_waits_for_the_missing_text(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.faults.add(HttpFault(path=self.RUN_PATH, kind="cut", after=9))
        fake.script([Say("Let me see."), CallTool("add", {"a": 1, "b": 2})], Say("Three."))
        assert await session.say("1 + 2?") == session.shown_text == "Let me see.\n\nThree."

    async def test_a_refusal_is_a_reply(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Say("I would rather not.", refusal=True))
        assert await session.say("Do it") == session.shown_text == "I would rather not."
        assert (session.answer.refusal, {each.is_refusal for each in session.shown}) == (session.shown_text, {True})

    @pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error"])
    async def test_a_failed_run_is_retried_without_the_message(
        self, fake: FakeOpenAI, session: AssistantSession, code: str
    ) -> None:
        fake.script(Fail(code), Say("Here."))
        assert await session.say("Hello") == "Here."
        assert isinstance(session.errors[0], AssistantRateLimited | AssistantUnavailable)
        assert self.user_texts(fake, session) == ["Hello"]

    @pytest.mark.parametrize("act", [Fail("invalid_prompt"), Incomplete("content_filter")])
    async def test_a_filtered_answer_is_not_shown_as_a_whole_one(
        self, fake: FakeOpenAI, session: AssistantSession, act: Fail | Incomplete
    ) -> None:
        fake.script([Say("Half an ans"), act])
        with pytest.raises(AssistantRefused) as caught:
            await session.say("Hello")
        assert "filter" in caught.value.user_message

    async def test_a_cut_off_answer_is_shown_and_marked(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script([Say("Half an ans"), Incomplete()])
        reply = await session.say("Hello")
        assert reply.startswith("Half an ans\n\n")
        assert "cut off" in reply
        assert session.answer.cut_off

    async def test_a_run_that_expired_before_it_said_anything_is_run_again(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script([Expire()], Say("Here."))
        assert await session.say("Hello") == "Here."
        assert self.user_texts(fake, session) == ["Hello"]

    @pytest.mark.parametrize("steps", [[[Say("Half an ans"), Expire()]], [[Expire()], [Expire()]]])
    async def test_a_run_that_expires_otherwise_is_said_to(
        self, fake: FakeOpenAI, session: AssistantSession, steps: list[list[Act]]
    ) -> None:
        fake.script(*steps)
        with pytest.raises(AssistantTimedOut) as caught:
            await session.say("Hello")
        assert "gave up" in caught.value.user_message

    @pytest.mark.parametrize("message", ["Etwas ist kaputt.", "No tool call found for function call output."])
    async def test_a_thread_that_cannot_continue_is_replaced(
        self, fake: FakeOpenAI, session: AssistantSession, message: str
    ) -> None:
        await session.say("I am Ada.")
        old = session.thread_id
        fake.faults.add(HttpFault(path=self.RUN_PATH, status=400, body={"error": {"message": message}}))
        assert "I am Ada." in await session.say("Who am I?")
        assert session.thread_id != old

    async def test_what_trips_a_filter_is_left_out_of_the_next_thread(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        await session.say("I am Ada.")
        await session.say("Bad")
        fake.script(Fail("invalid_prompt"))
        reply = await session.say("Who am I?")
        assert "I am Ada." in reply
        assert "Bad" not in reply

    async def test_a_thread_that_holds_a_filtered_message_is_replaced(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(Fail("invalid_prompt"))
        with pytest.raises(AssistantRefused):
            await session.say("Bad")
        old, session.run_id = session.thread_id, None
        fake.script(Fail("invalid_prompt"), Say("Here."))
        assert await session.say("Hello") == "Here."
        assert session.thread_id != old

    async def test_a_run_that_others_posted_is_waited_for(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        thread = await session.open_thread()
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        run = {"assistant_id": ASSISTANT_ID}
        await session.assistant._api.post(f"/threads/{thread}/runs", run)  # type: ignore[attr-defined]
        await fake.wait_until_async(lambda: has_open_call(fake, session))
        with pytest.raises(ThreadBusy):
            await session.attempt(session.make_turn("Hello"), first=True)

    async def test_a_cancelled_run_is_not_restarted(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Hang())
        await session.begin_and_abandon("Wait")
        await session.assistant.cancel_run(await session.open_thread(), None)
        with pytest.raises(AssistantRefused, match="cancelled"):
            await session.attempt(session.make_turn("Wait"), first=False)

    async def test_a_locked_thread_is_not_missing(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(Hang())
        await session.begin_and_abandon("Wait")
        with pytest.raises(ThreadBusy) as caught:
            await session.attempt(session.make_turn("Now"), first=True)
        assert 0.5 <= (caught.value.retry_after or 0) <= 2
        fake.release()

    # ------------------------------------------------------------ results of an earlier attempt

    async def test_a_run_whose_id_was_lost_is_found_by_the_turn(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script([Hang(), Say("Late.")])
        await session.begin_and_abandon("Hello")
        session.run_id = None
        late = asyncio.create_task(session.say("Hello", may_have_begun=True))
        await fake.wait_for_async("GET", "/threads/[^/]+/runs/[^/]+")
        assert session.run_id in fake.runs  # reported before it is waited for
        fake.release()
        assert await late == "Late."
        assert self.user_texts(fake, session) == ["Hello"]

    async def test_a_message_without_a_run_gets_a_run_without_the_message(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        message = {"role": "user", "content": "Hello", "metadata": {"turn_id": "turn_1"}}
        thread = await session.open_thread()
        await session.assistant._api.post(f"/threads/{thread}/messages", message)  # type: ignore[attr-defined]
        assert await session.say("Hello", may_have_begun=True) == "You said: Hello"
        assert self.user_texts(fake, session) == ["Hello"]

    @pytest.mark.parametrize("name", FAULTS)
    async def test_a_tool_runs_once_despite_faults_of_its_output(
        self, fake: FakeOpenAI, session: AssistantSession, name: str
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}), Say("Three."))
        fault = FAULTS[name] if name not in {"rate limit", "conflict"} else FAULTS["drop after acting"]
        fake.faults.add(HttpFault(path=self.OUTPUTS_PATH, **fault))
        TOOL_RUNS.clear()
        assert await session.say("1 + 2?") == "Three."
        assert TOOL_RUNS == [1]

    async def test_rejected_outputs_are_not_submitted_for_ever(
        self, fake: FakeOpenAI, session: AssistantSession
    ) -> None:
        fake.script(CallTool("add", {"a": 1, "b": 2}))
        fake.faults.add(HttpFault(path=self.OUTPUTS_PATH, status=400, times=None))
        with pytest.raises(AssistantRefused):
            await session.say("1 + 2?")
        assert len(fake.posts(self.OUTPUTS_PATH)) == 1

    async def test_the_state_of_a_run_has_precedence_over_an_error_in_its_stream(
        self, raw: RawServer, raw_client: openai.AsyncOpenAI, facts: MemorySharedValues
    ) -> None:
        run = {"id": "run_1", "object": "thread.run", "status": "in_progress"}
        error = {"error": {"code": "rate_limit_exceeded", "message": "slow down"}}
        said = {"role": "assistant", "run_id": "run_1", "content": [{"type": "text", "text": {"value": "Here."}}]}
        raw.add_stream(
            b"event: thread.run.created\ndata: %s\n\n" % json.dumps(run).encode(),
            b"event: error\ndata: %s\n\n" % json.dumps(error).encode(),
        )
        raw.add_response(json.dumps({**run, "status": "completed"}).encode())
        raw.add_response(b'{"data": []}')
        raw.add_response(json.dumps({"data": [said]}).encode())
        session = AssistantSession(
            make_threads_backend(raw_client, ToolBox([]), facts, "asst_1"), thread_id=ThreadId("thread_1")
        )
        assert await session.say("Hello") == "Here."
        assert not session.errors

    async def test_a_long_history_is_added_in_several_requests(
        self, fake: FakeOpenAI, assistant: ThreadsBackend
    ) -> None:
        past = [Exchange(f"Q{number}", f"A{number}") for number in range(20)]
        thread = await assistant.create_thread(past)
        assert len(fake.posts("/threads")[0].body["messages"]) == 32
        assert await assistant.import_history(thread) == past

    # ------------------------------------------------------------ the assistant

    async def test_the_assistant_is_created_once_for_the_same_settings(
        self, fake: FakeOpenAI, make: MakeBackend
    ) -> None:
        sessions = [AssistantSession(make()), AssistantSession(make())]
        await asyncio.gather(*(session.say("Hello") for session in sessions))
        await AssistantSession(sessions[0].assistant).say("Hello")
        assert len({run["assistant_id"] for run in fake.runs.values()}) == 1
        await AssistantSession(make(instructions="Be long.")).say("Hello")
        assert len({run["assistant_id"] for run in fake.runs.values()}) == 2

    async def test_concurrent_turns_create_one_assistant(self, fake: FakeOpenAI, assistant: ThreadsBackend) -> None:
        await asyncio.gather(*(AssistantSession(assistant).say("Hello") for _ in range(5)))
        assert len(fake.posts("/assistants")) == 1

    async def test_an_assistant_created_meanwhile_by_another_process_is_used(
        self, fake: FakeOpenAI, make: MakeBackend, facts: MemorySharedValues
    ) -> None:
        async def remember(name: str, value: str) -> str:
            return facts.values.setdefault(name, ASSISTANT_ID)

        facts.set_value_if_absent = remember  # type: ignore[method-assign]
        await AssistantSession(make()).say("Hello")
        assert [run["assistant_id"] for run in fake.runs.values()] == [ASSISTANT_ID]
        assert len([seen for seen in fake.requests if seen.method == "DELETE"]) == 1

    async def test_the_assistant_is_created_from_the_settings(self, fake: FakeOpenAI, make: MakeBackend) -> None:
        code = {"type": "code_interpreter", "container": {"type": "auto"}}
        files = {"type": "file_search", "vector_store_ids": ["vs_1"]}
        await AssistantSession(make(hosted_tools=(code, files, {"type": "web_search"}))).say("Hello")
        (made,) = fake.posts("/assistants")
        assert made.body["model"] == "gpt-4o"
        assert made.body["instructions"] == "Be brief."
        assert [one["type"] for one in made.body["tools"]] == ["code_interpreter", "file_search", "function"]
        assert made.body["tool_resources"] == {"file_search": {"vector_store_ids": ["vs_1"]}}

    @pytest.mark.parametrize("later", [False, True])
    async def test_a_missing_assistant_is_created_again(self, fake: FakeOpenAI, make: MakeBackend, later: bool) -> None:  # noqa: FBT001
        session = AssistantSession(make())
        await session.say("Hello")
        (made,) = [run["assistant_id"] for run in fake.runs.values()]
        fake.forget_object(made)
        session = session if later else AssistantSession(make())
        assert "Again" in await session.say("Again")
        assert "More" in await AssistantSession(make()).say("More")
        assert len({run["assistant_id"] for run in fake.runs.values()}) == 2

    async def test_the_configured_assistant_keeps_its_tools_and_gets_the_gateways(
        self, fake: FakeOpenAI, make: MakeBackend
    ) -> None:
        own = [{"type": "code_interpreter"}]
        session = AssistantSession(make(assistant_id=ASSISTANT_ID))
        await session.assistant._api.post(f"/assistants/{ASSISTANT_ID}", {"tools": own})  # type: ignore[attr-defined]
        await session.say("Hello")
        await session.say("Again")
        for run in fake.posts(self.RUN_PATH):
            assert run.body["assistant_id"] == ASSISTANT_ID
            assert [tool["type"] for tool in run.body["tools"]] == ["code_interpreter", "function"]
            assert "instructions" not in run.body
        assert len([seen for seen in fake.requests if seen.method == "GET"]) == 1

    async def test_an_unknown_assistant_is_named(self, make: MakeBackend) -> None:
        assistant = make(assistant_id="asst_typo")
        with pytest.raises(AssistantMisconfigured, match="ASST_ID"):
            await AssistantSession(assistant).say("Hello")
        (check,) = await assistant.check()
        assert not check.ok
        assert "ASST_ID" in check.detail

    @pytest.mark.parametrize("files", [False, True])
    async def test_a_server_that_cannot_return_the_assistant_still_runs_it(
        self,
        fake: FakeOpenAI,
        make: MakeBackend,
        files: bool,  # noqa: FBT001
    ) -> None:
        fake.faults.add(HttpFault(method="GET", path="/assistants.*", status=404, times=None))
        session = AssistantSession(make(assistant_id=ASSISTANT_ID))
        if files:
            session.attachments_to_send = [make_attachment("report.pdf", b"%PDF-1.7", media_type="application/pdf")]
        assert "Hello" in await session.say("Hello")
        assert not session.errors
        (run,) = fake.posts(self.RUN_PATH)
        assert run.body["assistant_id"] == ASSISTANT_ID
        assert "tools" not in run.body

    @pytest.mark.parametrize("tools", [[], None])
    async def test_a_run_that_is_rejected_names_the_assistant(
        self,
        fake: FakeOpenAI,
        client: openai.AsyncOpenAI,
        toolbox: ToolBox,
        facts: MemorySharedValues,
        tools: list[Any] | None,
    ) -> None:
        mine = toolbox if tools is None else ToolBox(tools)
        fake.forget_object(ASSISTANT_ID)
        session = AssistantSession(make_threads_backend(client, mine, facts, ASSISTANT_ID))
        with pytest.raises(AssistantMisconfigured, match=f"no assistant {ASSISTANT_ID}. Check ASST_ID"):
            await session.say("Hello")
        assert not session.errors

    # ------------------------------------------------------------ other servers

    @pytest.mark.parametrize("assistant_id", [None, ASSISTANT_ID])
    async def test_a_server_without_the_assistants_api_is_reported(
        self, fake: FakeOpenAI, make: MakeBackend, assistant_id: str | None
    ) -> None:
        session = AssistantSession(make(assistant_id=assistant_id))
        await session.say("Hello")
        fake.features.discard("threads")
        (check,) = await session.assistant.check()
        assert not check.ok
        assert PROTOCOL_REMOVED in check.detail
        for begun in (False, True):
            with pytest.raises(AssistantMisconfigured, match=PROTOCOL_REMOVED):
                await session.attempt(session.make_turn("Again"), first=not begun)
        with pytest.raises(AssistantMisconfigured, match=PROTOCOL_REMOVED):
            await AssistantSession(make(assistant_id=assistant_id)).say("Hello")

    async def test_requests_to_azure_have_its_format(
        self,
        fake: FakeOpenAI,
        connected: Callable[..., openai.AsyncOpenAI],
        toolbox: ToolBox,
        facts: MemorySharedValues,
    ) -> None:
        client = connected(
            azure_openai_endpoint=fake.azure_endpoint,
            azure_openai_api_key=SecretStr(KEY),
            azure_openai_api_version="2024-05-01-preview",
        )
        session = AssistantSession(make_threads_backend(client, toolbox, facts, ASSISTANT_ID))
        assert await session.say("Hello") == "You said: Hello"
        assert all(seen.raw_path.startswith("/openai/") for seen in fake.requests)
        assert all(seen.query["api-version"] == "2024-05-01-preview" for seen in fake.requests)
        assert all(seen.headers["api-key"] == KEY for seen in fake.requests)
