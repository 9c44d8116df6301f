"""Calls of tools that people have to approve: the turn waits in the table, and each tool runs once at most."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from gateway.assistants.tool_calls import run_approved
from gateway.domain.approvals import Approval, Decider, Decision, HeldCall, Verdict, VerdictResult
from gateway.domain.errors import DeliveryError
from gateway.domain.exchange import CallOutput, CallRound, RequestedCall
from gateway.domain.models import MessageKind, RunId, TurnId, TurnState, Usage
from gateway.domain.platform_events import MessageEdited
from gateway.domain.run_events import CallsHeld, RunCompleted, RunStarted, TextDelta, ToolCall, UsageCounted
from gateway.domain.shown_arguments import arguments_content, arguments_file
from gateway.policy.admission import BUDGET_EXHAUSTED
from gateway.ports.people import PersonId
from gateway.ports.platform import ParsedUpdate
from gateway.tools import ToolBox, tool
from gateway.worker.turns import held_calls
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess
from tests.waiting import ThreadEvent, until

REFUND = RequestedCall("c1", "refund", '{"order": 1}')
LOOK = RequestedCall("c2", "look", "{}")
ANN = Decider("fake", "ann", name="Ann")
BOB = Decider("fake", "bob", name="Bob")


@pytest.fixture
def tools(assistant: FakeAssistant) -> FakeAssistant:
    assistant.tools = {"refund": lambda _: "refunded", "look": lambda _: "found"}
    return assistant


def held(*calls: HeldCall, text: str = "", earlier: tuple[CallRound, ...] = ()) -> CallsHeld:
    return CallsHeld(calls or (HeldCall(REFUND, ("asker",)),), text, earlier, Usage(5, 6), "fake-1")


def decide(process: WorkerProcess, asked: Approval, decider: Decider = ANN, *, approves: bool = True) -> VerdictResult:
    return process.inbox.decide(Verdict(asked.id, asked.digest, approves, decider))


def ask(process: WorkerProcess, assistant: FakeAssistant, event: CallsHeld | None = None) -> tuple[TurnId, Approval]:
    """Has the assistant call a tool; returns the turn once it is parked, and the first question."""
    assistant.script(RunStarted(RunId("r1")), event or held())
    turn = process.say("refund it")
    (asked,) = process.platform.wait_asked(1)
    until(lambda: process.stored(turn).is_parked)
    return turn, asked


def test_an_approved_call_runs_once_and_its_output_goes_to_the_assistant(start: Start, tools: FakeAssistant) -> None:
    process = start(room=1)
    turn, asked = ask(process, tools)
    stored = process.stored(turn)
    assert stored.awaits_approval
    assert (stored.usage, stored.run_id) == (Usage(5, 6), None)
    assert (asked.tool, asked.arguments, asked.approvers) == ("refund", '{"order": 1}', ("asker",))
    other = process.say("hello", channel="elsewhere")  # no place is held
    assert process.platform.wait_for(1)[0].id == other
    tools.script(RunCompleted("It is done.", Usage(1, 1)))
    assert decide(process, asked) is VerdictResult.DECIDED
    assert decide(process, asked) is VerdictResult.DECIDED
    assert decide(process, asked, approves=False) is VerdictResult.TOO_LATE
    answered = process.platform.wait_for(2)[1]
    assert (answered.id, answered.reply, answered.usage) == (turn, "It is done.", Usage(6, 7))
    assert tools.ran == [("refund", '{"order": 1}')]
    assert tools.asked[-1].options.outputs == (CallOutput("c1", "refunded"),)
    assert tools.calls.count("run") == 3  # nothing that was sent has to be looked for
    assert [each.decision for each in process.platform.questions] == [None, Decision.APPROVED]
    assert process.platform.questions[-1].decided_name == "Ann"


def test_a_turn_that_its_budget_ends_while_it_waits_keeps_what_it_used(start: Start, tools: FakeAssistant) -> None:
    process = start(rules={"budget_user_day": "0.000011"})
    turn, asked = ask(process, tools)
    decide(process, asked)
    (ended,) = process.platform.wait_for(1)
    assert ended.failure is not None
    assert ended.failure.code == BUDGET_EXHAUSTED
    assert (process.stored(turn).usage, process.stored(turn).cost, process.stored(turn).model) == (
        *(Usage(5, 6), 11),
        "fake-1",
    )
    assert tools.ran == []


def test_a_turn_that_is_stopped_after_it_waited_has_all_that_it_used(start: Start, tools: FakeAssistant) -> None:
    process, counted, hang = start(), threading.Event(), threading.Event()
    turn, asked = ask(process, tools)
    used = UsageCounted(RunId("r2"), Usage(20, 3), "fake-1")
    tools.script(RunStarted(RunId("r2")), used, counted.set, ThreadEvent(hang))
    decide(process, asked)
    assert counted.wait(20.0)
    process.inbox.cancel_turn(turn)
    hang.set()
    until(lambda: process.stored(turn).usage == Usage(25, 9))
    assert process.stored(turn).cost == 34


def test_a_denied_call_does_not_run_and_the_assistant_is_told(start: Start, tools: FakeAssistant) -> None:
    process = start()
    _, asked = ask(process, tools)
    decide(process, asked, approves=False)
    process.platform.wait_for(1)
    assert tools.ran == []
    (output,) = tools.asked[-1].options.outputs
    assert output.output.startswith("A person was asked about this call of refund, and denied it.")


def test_what_nobody_decides_expires_and_the_turn_goes_on(start: Start, tools: FakeAssistant) -> None:
    process = start(approval_seconds=0.3)
    turn, asked = ask(process, tools)
    process.platform.wait_for(1)
    assert tools.ran == []
    assert "Nobody approved this call of refund in time." in tools.asked[-1].options.outputs[0].output
    assert decide(process, asked) is VerdictResult.TOO_LATE
    assert process.stored(turn).state in (TurnState.ANSWERED, TurnState.DELIVERED)
    assert process.platform.questions[-1].decision is Decision.EXPIRED


def test_only_those_whom_the_setting_names_decide(start: Start, tools: FakeAssistant) -> None:
    process = start()
    event = held(HeldCall(REFUND, ("fake:bob", "key:shop", "operators")))
    turn, asked = ask(process, tools, event)
    program = Decider("http", "bob", caller="key 1", key="other")
    for somebody in (ANN, Decider("other", "bob"), program, Decider(is_operator=False, name="bob")):
        assert decide(process, asked, somebody) is VerdictResult.NOT_ALLOWED
    assert process.inbox.decide(Verdict(asked.id, "0" * 32, approves=True, decider=BOB)) is VerdictResult.UNKNOWN
    assert process.inbox.decide(Verdict("appr_none", asked.digest, approves=True, decider=BOB)) is VerdictResult.UNKNOWN
    assert process.stored(turn).is_parked
    verdict = Verdict(asked.id, asked.digest, approves=True, decider=BOB)
    assert process.inbox.accept_all(ParsedUpdate(events=(verdict,))) == (VerdictResult.DECIDED,)
    process.platform.wait_for(1)
    assert process.store.approvals_of(turn)[0].decided_by == "fake:bob"


@pytest.mark.parametrize(
    "somebody", [Decider("http", caller="key 1", key="shop"), Decider(is_operator=True), Decider("fake:sales", "bob")]
)
def test_keys_operators_and_people_at_other_bots_may_be_named(
    start: Start, tools: FakeAssistant, somebody: Decider
) -> None:
    process = start()
    _, asked = ask(process, tools, held(HeldCall(REFUND, ("fake:bob", "key:shop", "operators"))))
    assert decide(process, asked, somebody) is VerdictResult.DECIDED
    process.platform.wait_for(1)
    assert [name for name, _ in tools.ran] == ["refund"]


def test_a_prompt_that_nobody_asked_does_not_wait_for_its_asker(start: Start, tools: FakeAssistant) -> None:
    process = start()
    tools.script(RunStarted(RunId("r1")), held())
    pushed = replace(process.platform.message("refund it all"), author="", caller="push key")
    turn = process.inbox.accept(pushed).turn.id
    assert process.platform.wait_for(1)[0].id == turn
    assert tools.ran == []
    assert "Nobody approved this call of refund in time." in tools.asked[-1].options.outputs[0].output


@pytest.mark.parametrize("rules", [{}, {"blocked": "fake:bob"}], ids=["by an operator", "by BLOCKED"])
def test_who_is_blocked_does_not_decide(start: Start, tools: FakeAssistant, rules: dict[str, str]) -> None:
    process = start(rules=rules)
    _, asked = ask(process, tools, held(HeldCall(REFUND, ("fake:bob", "asker"))))
    if not rules:
        process.store.blocks.add(PersonId("fake", "bob"), "eve")
        process.async_inbox._admission.block_list.refresh(process.store.blocks)
    assert decide(process, asked, BOB) is VerdictResult.NOT_ALLOWED
    assert decide(process, asked, replace(BOB, platform="fake:sales")) is VerdictResult.NOT_ALLOWED
    assert decide(process, asked) is VerdictResult.DECIDED


def test_calls_of_one_round_wait_for_all_decisions(start: Start, tools: FakeAssistant) -> None:
    process = start()
    second = RequestedCall("c3", "refund", '{"order": 2}')
    tools.script(held(HeldCall(REFUND, ("asker",)), HeldCall(LOOK), HeldCall(second, ("asker",))))
    turn = process.say("refund both")
    first, other = process.platform.wait_asked(2)
    until(lambda: process.stored(turn).is_parked)
    decide(process, first, approves=False)
    assert process.stored(turn).is_parked
    assert tools.ran == []
    decide(process, other)
    process.platform.wait_for(1)
    assert sorted(tools.ran) == [("look", "{}"), ("refund", '{"order": 2}')]
    outputs = {each.call_id: each.output for each in tools.asked[-1].options.outputs}
    assert (outputs["c2"], outputs["c3"]) == ("found", "refunded")
    assert "denied" in outputs["c1"]


def test_a_call_beside_that_has_to_be_approved_by_now_does_not_run(start: Start, assistant: FakeAssistant) -> None:
    ran: list[str] = []

    @tool
    def refund(order: int) -> str:
        """Refund an order."""
        ran.append(f"refund {order}")
        return "refunded"

    @tool
    def look() -> str:
        """Look around."""
        ran.append("look")
        return "found"

    toolboxes = [ToolBox([replace(refund, approvers=("asker",)), look])]
    assistant.run_calls = lambda turn, held: run_approved(toolboxes[-1], held)  # type: ignore[method-assign]
    process = start()
    _, asked = ask(process, assistant, held(HeldCall(REFUND, ("asker",)), HeldCall(LOOK)))
    toolboxes.append(ToolBox([replace(each, approvers=("asker",)) for each in (refund, look)]))
    decide(process, asked)
    process.platform.wait_for(1)
    assert ran == ["refund 1"]
    outputs = {each.call_id: each.output for each in assistant.asked[-1].options.outputs}
    assert outputs["c1"] == "refunded"
    assert "those who may now were not asked about this one" in outputs["c2"]


def test_a_turn_that_waits_goes_on_after_a_restart(start: Start, tools: FakeAssistant) -> None:
    process = start()
    turn, asked = ask(process, tools)
    process.stop()
    heir = start(owner="two")
    assert decide(heir, asked) is VerdictResult.DECIDED
    assert heir.platform.wait_for(1)[0].id == turn
    assert [name for name, _ in tools.ran] == ["refund"]


def test_a_tool_that_was_begun_by_a_process_that_ended_is_not_begun_again(start: Start, tools: FakeAssistant) -> None:
    process, begun, goes_on = start(), threading.Event(), threading.Event()

    def refund(_: str) -> str:
        begun.set()
        goes_on.wait(20)
        return "refunded"

    tools.tools["refund"] = refund
    turn, asked = ask(process, tools)
    threading.Thread(target=lambda: decide(process, asked), daemon=True).start()
    assert begun.wait(20)
    approval = process.store.approvals_of(turn)[0]
    assert approval.started_at is not None
    heir_assistant_ran = list(tools.ran)
    heir = start(owner="two")  # the first process is stuck in the tool, so its lease expires
    assert heir.platform.wait_for(1)[0].id == turn
    goes_on.set()
    assert tools.ran == heir_assistant_ran
    assert "Nobody knows whether this call of refund was carried out" in tools.asked[-1].options.outputs[0].output


@pytest.mark.parametrize("kind", [MessageKind.STOP, MessageKind.RESET])
def test_stop_and_new_end_the_question(start: Start, tools: FakeAssistant, kind: MessageKind) -> None:
    process = start()
    turn, asked = ask(process, tools)
    process.say("!", kind=kind)
    ended, _ = process.platform.wait_for(2)
    assert (ended.id, ended.state) == (turn, TurnState.CANCELLED)
    assert decide(process, asked) is VerdictResult.TOO_LATE
    assert process.platform.questions[-1].decision is Decision.CANCELLED
    assert tools.ran == []


def test_an_edit_and_a_cancellation_of_a_turn_that_waits(start: Start, tools: FakeAssistant) -> None:
    process = start()
    turn, _ = ask(process, tools)
    message_id = process.stored(turn).message.message_id
    process.inbox.accept_all(ParsedUpdate(events=(MessageEdited("fake", message_id, "refund another"),)))
    assert process.stored(turn).message.text == "refund it"  # the assistant has read it
    process.inbox.cancel_turn(turn)
    assert process.platform.wait_for(1)[0].state is TurnState.CANCELLED
    assert process.platform.wait_asked(2)[1].decision is Decision.CANCELLED


def test_what_was_said_before_begins_the_reply(start: Start, tools: FakeAssistant) -> None:
    process = start()
    earlier = CallRound((replace(LOOK, output="found"),), "I look.")
    tools.script(TextDelta("I look.\n\nI refund."), held(text="I refund.", earlier=(earlier,)))
    turn = process.say("refund it")
    (asked,) = process.platform.wait_asked(1)
    tools.script(TextDelta("Done."), RunCompleted("Done."))
    decide(process, asked)
    (answered,) = process.platform.wait_for(1)
    assert answered.reply == "I look.\n\nI refund.\n\nDone."
    assert [each.text for each in answered.rounds] == ["I look.", "I refund."]
    shown = [each.text for each in process.platform.shown[turn] if isinstance(each, TextDelta)]
    assert shown == ["I look.\n\nI refund.", "I look.\n\nI refund.\n\nDone."]
    assert any(isinstance(each, ToolCall) and each.output == "refunded" for each in process.platform.shown[turn])


def test_a_question_that_the_platform_does_not_take_yet_is_posted_later(
    start: Start, tools: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_calls, "ASK_AGAIN_SECONDS", 0.0)
    process = start()
    process.platform.question_refusals += [DeliveryError("busy", retry_after=0.05)] * 2
    turn, asked = ask(process, tools)
    assert process.stored(turn).is_parked
    decide(process, asked)
    assert process.platform.wait_for(1)[0].id == turn


def test_a_question_that_may_have_been_posted_is_looked_for(
    start: Start, tools: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_calls, "ASK_AGAIN_SECONDS", 0.0)
    process = start()
    process.platform.question_refusals.append(DeliveryError("no answer came", retry_after=0.05))
    ask(process, tools)
    assert process.platform.looks_for_question == [False, True]


def test_a_turn_that_waits_is_looked_at_so_that_no_clock_ends_its_time(
    start: Start, tools: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_calls, "LOOKS", 2400)
    process = start(approval_seconds=120.0)
    turn, asked = ask(process, tools)
    assert [each.decision for each in process.platform.wait_asked(3)] == [None] * 3
    assert decide(process, asked) is VerdictResult.DECIDED
    assert process.platform.wait_for(1)[0].id == turn


def test_a_platform_can_read_all_of_long_arguments(start: Start, tools: FakeAssistant) -> None:
    process = start()
    call = RequestedCall("c1", "refund", '{"text": "' + "word " * 2000 + '"}')
    tools.script(held(HeldCall(call, ("operators",))))
    process.say("refund it")
    (asked,) = process.platform.wait_asked(1)
    file = arguments_file(asked.arguments)
    assert file is not None
    assert process.platform.read_of_question == [arguments_content(call.arguments)]
    assert file.size == len(arguments_content(call.arguments)) > 10_000


def test_a_question_that_the_platform_refuses_can_be_answered_elsewhere(start: Start, tools: FakeAssistant) -> None:
    process = start()
    process.platform.question_refusals.append(DeliveryError("no access"))
    tools.script(held(HeldCall(REFUND, ("operators",))))
    turn = process.say("refund it")
    until(lambda: process.stored(turn).is_parked)
    (asked,) = process.store.open_approvals()
    decide(process, asked, Decider(is_operator=True, name="root"))
    process.platform.wait_for(1)
    assert process.store.approvals_of(turn)[0].decided_by == "operator root"


def test_a_model_that_asks_without_end_is_stopped(
    start: Start, tools: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_calls, "MAX_ROUNDS", 1)
    process = start()
    _, asked = ask(process, tools)
    tools.script(held())
    decide(process, asked, approves=False)
    (ended,) = process.platform.wait_for(1)
    assert ended.failure is not None
    assert ended.failure.code == "too_many_rounds"
