"""Several assistants: whose threads are whose, who is asked in whose place, and a configuration that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import pytest

from gateway.configuration import Configuration, RouteRule
from gateway.domain.audit import AuditEvent
from gateway.domain.context import ChatContext
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    AssistantUnavailable,
)
from gateway.domain.models import DEFAULT_ASSISTANT, MessageKind, RunId, Turn, TurnId, TurnState, Usage
from gateway.domain.run_events import RunCompleted, RunStarted, TextDelta, ToolCall, UsageCounted
from gateway.worker.answering import assistant_selector
from storage.store import SqlStore
from tests.fakes.assistant import AssistantStep, FakeAssistant
from tests.gateway.one_assistant import configuration
from tests.gateway.worker_process import WorkerProcess
from tests.waiting import until

ROUTE = RouteRule("fake", "support", channel="help", choices=(DEFAULT_ASSISTANT,))
CONFIGURED = configuration("support", routes=[ROUTE], fallback={"support": [DEFAULT_ASSISTANT]})
CHOSEN = "From now on, default answers here. It knows what was said before."
ONLY_ONE = "default answers here. No other assistant can be chosen here."


class Processes(Protocol):
    def __call__(self, configured: Configuration = CONFIGURED, owner: str = "one") -> WorkerProcess: ...


def wait_until(process: WorkerProcess, turn: TurnId, reached: Callable[[Turn], bool]) -> Turn:
    """Waits until a turn is stored like that; whichever process does it."""
    until(lambda: reached(process.stored(turn)))
    return process.stored(turn)


@pytest.fixture
def support() -> FakeAssistant:
    return FakeAssistant("other")


@pytest.fixture
def open_process(brief_store: SqlStore, assistant: FakeAssistant, support: FakeAssistant) -> Iterator[Processes]:
    """Starts processes with the same two assistants, on different backends."""
    opened: list[WorkerProcess] = []

    def begin(configured: Configuration = CONFIGURED, owner: str = "one") -> WorkerProcess:
        others = {"support": support}
        opened.append(WorkerProcess(brief_store, assistant, owner=owner, others=others, configured=configured))
        return opened[-1]

    yield begin
    for process in opened:
        process.stop()


@pytest.fixture(params=["one process", "two processes"])
def answer(request: pytest.FixtureRequest, open_process: Processes) -> Callable[..., Turn]:
    """Says something, and returns the turn as it was answered; each time by another process, if there are two."""
    processes = [open_process(owner=f"{number}") for number in range(2 if request.param == "two processes" else 1)]
    asked = 0

    def say(text: str, channel: str, kind: MessageKind = MessageKind.PROMPT) -> Turn:
        nonlocal asked
        process = processes[asked % len(processes)]
        asked += 1
        turn = process.say(text, channel, kind=kind)
        return wait_until(process, turn, lambda stored: stored.delivered_at is not None)

    return say


# ---------------------------------------------------------------- threads


def test_each_assistant_has_threads_of_its_own(
    answer: Callable[..., Turn], assistant: FakeAssistant, support: FakeAssistant
) -> None:
    turns = [answer(text, channel) for text in ("one", "two") for channel in ("help", "c")]
    assert [turn.assistant for turn in turns] == ["support", DEFAULT_ASSISTANT] * 2
    assert [thread.texts for thread in assistant.threads.values()] == [["one", "two"]]
    assert [thread.texts for thread in support.threads.values()] == [["one", "two"]]


def test_a_choice_goes_on_in_a_new_thread_with_what_was_said(
    answer: Callable[..., Turn], assistant: FakeAssistant, support: FakeAssistant
) -> None:
    answer("one", "help")
    chosen = answer("/assistant default", "help", MessageKind.CHOOSE)
    assert (chosen.reply, chosen.assistant) == (CHOSEN, DEFAULT_ASSISTANT)
    assert answer("two", "help").assistant == DEFAULT_ASSISTANT
    (thread,) = assistant.threads.values()
    assert (thread.texts, [(each.text, each.reply) for each in thread.history]) == (["two"], [("one", "You said: one")])
    answer("/assistant support", "help", MessageKind.CHOOSE)
    answer("three", "help")
    before, after = support.threads.values()
    assert (before.texts, after.texts) == (["one"], ["three"])
    assert [each.text for each in after.history] == ["one", "two"]


@pytest.mark.parametrize(
    ("asked", "channel", "reply"),
    [
        (
            "/assistants",
            "help",
            "support answers here. You can choose: support, default. Write /assistant default to do so.",
        ),
        ("/assistant", "c", ONLY_ONE),
        ("/assistant support", "c", f"There is no assistant of that name to choose here. {ONLY_ONE}"),
    ],
)
def test_a_command_tells_who_can_be_chosen(
    open_process: Processes, asked: str, channel: str, reply: str, assistant: FakeAssistant
) -> None:
    process = open_process()
    process.say(asked, channel, kind=MessageKind.CHOOSE)
    assert process.platform.wait_for(1)[0].reply == reply
    assert assistant.calls == []


def test_a_command_is_answered_in_the_language_that_the_platform_tells(open_process: Processes) -> None:
    process = open_process()
    process.platform.contexts = [ChatContext(language="de")]
    process.say("/assistant nobody", "c", kind=MessageKind.CHOOSE)
    assert process.platform.wait_for(1)[0].reply == (
        "Einen Assistenten mit diesem Namen kann man hier nicht wählen. "
        "Hier antwortet default. Ein anderer Assistent kann hier nicht gewählt werden."
    )


def test_a_deleted_conversation_is_deleted_at_each_assistant(
    open_process: Processes, assistant: FakeAssistant, support: FakeAssistant
) -> None:
    process = open_process()
    process.say("one", "help")
    process.say("/assistant default", "help", kind=MessageKind.CHOOSE)
    turn = process.say("two", "help")
    process.platform.wait_for(3)
    conversation = process.store.find_conversation(process.stored(turn).message.key)
    assert conversation is not None
    process.inbox.delete_conversation(conversation)
    assert not assistant.threads
    assert not support.threads


# ---------------------------------------------------------------- in the place of another


DOWN: list[AssistantError] = [AssistantUnavailable("no connection")] * 3


def passed_on(turn: Turn) -> list[str]:
    return [entry.detail for entry in turn.audit_log if entry.event is AuditEvent.REASSIGNED]


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([[error] for error in DOWN], "unavailable"),
        ([[AssistantRateLimited("busy", retry_after=60.0)]], "rate_limited"),
        ([[AssistantMisconfigured("no credit left", code="no_credit")]], "no_credit"),
        ([[RunStarted(RunId("r")), error] for error in DOWN], "unavailable"),
    ],
)
def test_another_assistant_is_asked_while_one_is_unavailable(
    open_process: Processes, support: FakeAssistant, steps: list[list[AssistantStep]], code: str
) -> None:
    process = open_process()
    support.scripts = steps
    process.say("hello", "help")
    (answered,) = process.platform.wait_for(1)
    assert (answered.reply, answered.assistant) == ("You said: hello", DEFAULT_ASSISTANT)
    assert passed_on(answered) == [f"default; support: {code}"]
    assert not answered.is_parked
    process.say("again", "help")
    second = process.platform.wait_for(2)[1]
    assert second.assistant == "support"
    assert [each.text for each in list(support.threads.values())[-1].history] == ["hello"]


@pytest.mark.parametrize("shown", [TextDelta("Well"), ToolCall("1", "clock")])
def test_nobody_else_is_asked_once_something_was_shown(
    open_process: Processes, assistant: FakeAssistant, support: FakeAssistant, shown: TextDelta | ToolCall
) -> None:
    process = open_process()
    support.scripts = [[RunStarted(RunId("r")), shown, error] for error in DOWN]
    process.say("hello", "help")
    (failed,) = process.platform.wait_for(1)
    assert (failed.state, failed.assistant) == (TurnState.FAILED, "support")
    assert assistant.calls == []


def test_a_message_that_an_assistant_refuses_is_not_passed_on(
    open_process: Processes, assistant: FakeAssistant, support: FakeAssistant
) -> None:
    process = open_process()
    support.script(AssistantRefused("no"))
    process.say("hello", "help")
    assert process.platform.wait_for(1)[0].state is TurnState.FAILED
    assert assistant.calls == []


def test_a_turn_costs_what_all_assistants_used_for_it(open_process: Processes, support: FakeAssistant) -> None:
    process = open_process()
    support.is_metered = True
    counted = UsageCounted(RunId("r"), Usage(40, 2), "gpt-4o")
    support.script(RunStarted(RunId("r")), counted, DOWN[0])
    support.script(DOWN[1])
    support.script(DOWN[2])
    process.say("hello", "help")
    (answered,) = process.platform.wait_for(1)
    assert answered.usage == Usage(41, 4)
    assert answered.cost == 45


def test_a_turn_that_was_passed_on_is_repeated_by_the_same_assistant(
    open_process: Processes, assistant: FakeAssistant, support: FakeAssistant
) -> None:
    process = open_process()
    support.scripts = [[error] for error in DOWN]
    assistant.script(RunStarted(RunId("run_9")), asyncio.Event())
    turn = process.say("hello", "help")
    assert wait_until(process, turn, is_running).assistant == DEFAULT_ASSISTANT
    process.stop(grace=0.0)
    heir = open_process(owner="two")
    assert heir.platform.wait_for(1)[0].assistant == DEFAULT_ASSISTANT
    assert assistant.calls == ["open_thread", "run", "resume run_9"]
    assert support.calls.count("run") == 1


def is_running(turn: Turn) -> bool:
    return turn.run_id == "run_9"


# ---------------------------------------------------------------- another configuration


def test_a_reload_changes_routes_and_closes_what_is_replaced_when_it_is_done(
    open_process: Processes, support: FakeAssistant, assistant: FakeAssistant
) -> None:
    process = open_process()
    held = asyncio.Event()
    support.script(RunStarted(RunId("run_9")), held, RunCompleted("Done."))
    running = process.say("one", "help")
    wait_until(process, running, is_running)
    queued = process.say("two", "help")
    process.reload(configuration())
    assert process.say("three", "help")
    assert not support.closed
    process.worker._loop.call_soon_threadsafe(held.set)
    first = process.platform.wait_for(1)[0]
    assert (first.id, first.reply, first.assistant) == (running, "Done.", "support")
    process.reload(CONFIGURED)
    answered = process.platform.wait_for(3)
    assert support.closed
    assert [(turn.id, turn.assistant) for turn in answered[1:2]] == [(queued, "support")]
    assert answered[2].assistant == DEFAULT_ASSISTANT


def test_an_assistant_that_stays_the_same_is_not_replaced(open_process: Processes, support: FakeAssistant) -> None:
    process = open_process()
    before = list(process.assistants)
    process.reload(replace(CONFIGURED, routes=()))
    assert list(process.assistants) == before
    process.say("one", "help")
    assert process.platform.wait_for(1)[0].assistant == DEFAULT_ASSISTANT
    assert not support.closed


def test_a_turn_waits_for_a_process_that_has_its_assistant(
    open_process: Processes, brief_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assistant_selector, "MISSING_RETRY_SECONDS", 0.01)
    behind = open_process(configuration())
    ahead = open_process(owner="two")
    behind.worker.run_coroutine(asyncio.sleep(0))
    held = [ahead.say(str(number), "help") for number in range(3)]
    answered = {turn.id: turn.assistant for turn in ahead.platform.wait_for(3)}
    assert answered == dict.fromkeys(held, "support")
    assert behind.platform.delivered == []


def test_a_turn_whose_assistant_is_nowhere_any_more_is_answered_by_route(
    open_process: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assistant_selector, "MISSING_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(assistant_selector, "MISSING_SECONDS", 0.05)
    process = open_process()
    process.reload(configuration())
    message = replace(process.platform.message("hello", channel="help"), allowed_assistants=("support",))
    process.inbox.accept(message)
    (answered,) = process.platform.wait_for(1)
    assert (answered.assistant, answered.reply) == (DEFAULT_ASSISTANT, "You said: hello")
    assert passed_on(answered) == ["default; there is no support"]
