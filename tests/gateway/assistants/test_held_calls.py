"""Each backend with tools that people have to approve."""

from __future__ import annotations

from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.assistants.threads.backend import ThreadsBackend
from gateway.assistants.tool_calls import FunctionCall, held_calls, run_approved
from gateway.domain.approvals import HeldCall
from gateway.domain.exchange import RequestedCall
from gateway.ports.assistant import Assistant
from gateway.tools import ToolBox
from tests.contracts.assistant_approvals import RAN, REFUND, ApprovalContract, look
from tests.contracts.assistant_online import WithFakeServer
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import CallTool, FakeOpenAI
from tests.fakes.shared_values import MemorySharedValues
from tests.gateway.assistants.test_threads_backend import make_threads_backend

CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.01)


class _WithSession(WithFakeServer):
    @pytest.fixture
    def session(self, assistant: Assistant) -> AssistantSession:
        return AssistantSession(assistant)


class TestChat(ApprovalContract, _WithSession):
    KEEPS_HISTORY = False

    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ChatBackend:
        return ChatBackend(AssistantApiClient(client), CONFIG, toolbox, retry_seconds=0.01)


class TestResponses(ApprovalContract, _WithSession):
    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ResponsesBackend:
        return ResponsesBackend(AssistantApiClient(client), CONFIG, toolbox)


class TestResponsesWithoutConversations(TestResponses):
    KEEPS_HISTORY = False

    @pytest.fixture
    def assistant(self, fake: FakeOpenAI, client: openai.AsyncOpenAI, toolbox: ToolBox) -> ResponsesBackend:
        fake.features.discard("conversations")
        return ResponsesBackend(AssistantApiClient(client), CONFIG, toolbox)


class TestThreads(ApprovalContract, _WithSession):
    @pytest.fixture
    def assistant(self, client: openai.AsyncOpenAI, toolbox: ToolBox, facts: MemorySharedValues) -> ThreadsBackend:
        return make_threads_backend(client, toolbox, facts)

    async def test_the_run_that_waits_is_said_to_be_left(self, fake: FakeOpenAI, session: AssistantSession) -> None:
        fake.script(CallTool("refund", {"order": 1}))
        _, held = await self.hold(session, session.make_turn("Refund 1"))
        assert held.leaves_run


def test_what_people_are_shown_is_what_runs() -> None:
    call = FunctionCall("c", "refund", '{"order": 1, "order": 2}')
    (held,) = held_calls(ToolBox([REFUND]), [call])
    assert held.call.arguments == '{"order": 2}'


def test_nothing_is_held_where_nobody_has_to_approve() -> None:
    assert held_calls(ToolBox([REFUND, look]), [FunctionCall("c", "look", '{"order": 1}')]) == ()
    assert held_calls(ToolBox([REFUND]), [FunctionCall("c", "sell", "{}")]) == ()


async def test_a_call_that_nobody_approved_does_not_run() -> None:
    RAN.clear()
    toolbox = ToolBox([REFUND])
    assert "People have to approve" in (await toolbox.call("refund", '{"order": 1}')).text
    assert RAN == []
    held = HeldCall(RequestedCall("c", "refund", '{"order": 1}'), ("asker",))
    events = [event async for event in run_approved(toolbox, [held])]
    assert [(event.done, event.output) for event in events] == [(False, ""), (True, "refunded 1")]
    assert RAN == ["refund 1"]


@pytest.mark.parametrize(
    ("asked", "now", "runs"),
    [
        ((), (), True),
        ((), ("asker",), False),
        (("asker",), (), True),
        (("asker",), ("asker", "operators"), True),
        (("asker", "operators"), ("operators",), False),
    ],
)
async def test_an_approval_counts_only_while_those_who_were_asked_may_give_it(
    asked: tuple[str, ...], now: tuple[str, ...], *, runs: bool
) -> None:
    RAN.clear()
    toolbox = ToolBox([replace(REFUND, approvers=now)])
    held = HeldCall(RequestedCall("c", "refund", '{"order": 1}'), asked)
    *_, done = [event async for event in run_approved(toolbox, [held])]
    assert (["refund 1"] if runs else []) == RAN
    assert runs or "those who may now were not asked about this one" in done.output


async def test_an_approved_call_of_a_tool_that_is_gone_is_said_to_be_impossible() -> None:
    held = HeldCall(RequestedCall("c", "refund", '{"order": 1}'), ("asker",))
    *_, done = [event async for event in run_approved(ToolBox([look]), [held])]
    assert done.output == "There is no tool 'refund'. The tools are: look."
