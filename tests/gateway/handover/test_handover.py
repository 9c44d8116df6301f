"""A person takes a conversation over: what becomes of messages meanwhile, and of what was said when it goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.domain.approvals import Decider, HeldCall, Verdict, VerdictResult
from gateway.domain.context import ChatContext
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Blocked, Conflict, DeliveryError, NotForUs
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.files import File
from gateway.domain.handover import HandoverPart
from gateway.domain.models import ConversationKey, Message, MessageKind, RunId, Turn, TurnId, TurnState, Usage
from gateway.domain.run_events import CallsHeld, RunCompleted, RunStarted
from gateway.domain.turn_options import TurnOptions
from gateway.handover import messages
from gateway.handover.automatic import HANDED_OVER, NOT_HERE
from gateway.policy.admission import RATE_LIMITED
from gateway.ports.people import PersonId
from gateway.worker.answering.commands import ALREADY_HANDED_OVER_REPLY, HANDED_OVER_REPLY, RESUMED_REPLY
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess
from tests.waiting import until

EVE = messages.staff("Eve")
NAMES = iter(range(10_000))


def conversation_of(process: WorkerProcess, channel: str = "c") -> Conversation:
    found = process.store.find_conversation(ConversationKey("fake", channel=channel))
    assert found is not None
    return found


def act(process: WorkerProcess, make: Callable[..., Message], *more: object, channel: str = "c") -> TurnId:
    """Has Eve do something in a conversation."""
    found = conversation_of(process, channel)
    turns = process.store.transcript(found.id, limit=200)
    return process.inbox.accept(make(found, turns, EVE, *more)).turn.id


def take_over(process: WorkerProcess, reason: str = "", channel: str = "c") -> TurnId:
    return act(process, messages.take_over, reason, f"t{next(NAMES)}", channel=channel)


def answer(process: WorkerProcess, text: str) -> TurnId:
    return act(process, messages.answer, text, f"a{next(NAMES)}", 1000)


def give_back(process: WorkerProcess) -> TurnId:
    return act(process, messages.give_back, f"r{next(NAMES)}")


def replies(process: WorkerProcess, count: int) -> list[str]:
    return [turn.reply for turn in process.platform.wait_for(count)]


def test_a_person_answers_until_the_conversation_goes_back(process: WorkerProcess, assistant: FakeAssistant) -> None:
    take_over(process, "a hard case")
    held = process.say("two")
    answer(process, "Hello, Eve here.")
    process.say("three")
    assert replies(process, 5) == ["You said: one", HANDED_OVER_REPLY, "", "Hello, Eve here.", ""]
    assert assistant.calls.count("run") == 1
    give_back(process)
    process.say("four")
    assert replies(process, 7)[5:] == ["You said: three", "You said: four"]
    (thread,) = assistant.threads.values()
    assert thread.texts == ["one", "two", "assistant: Hello, Eve here.", "three", "four"]
    assert (process.stored(held).state, process.stored(held).cost) == (TurnState.DELIVERED, 0)


def test_what_is_said_meanwhile_is_known_to_a_new_thread(process: WorkerProcess, assistant: FakeAssistant) -> None:
    take_over(process)
    process.say("two")
    process.say("three")
    process.platform.wait_for(4)
    assistant.threads.clear()
    answer(process, "Yes.")
    process.say("four")
    process.platform.wait_for(6)
    give_back(process)
    process.platform.wait_for(7)
    (thread,) = assistant.threads.values()
    assert thread.history == [
        Exchange("one", "You said: one", "ann"),
        Exchange("two\n\nthree", "Yes.", "ann"),
    ]
    assert thread.texts == ["four"]


def test_a_turn_that_runs_finishes_and_one_that_waits_is_held(process: WorkerProcess, assistant: FakeAssistant) -> None:
    ends = asyncio.Event()
    assistant.think = lambda turn: ends if turn.message.text == "running" else None
    running, waiting = process.say("running"), process.say("waiting")
    until(lambda: process.stored(running).run_id is not None)
    take_over(process)
    process.worker._loop.call_soon_threadsafe(ends.set)
    assert replies(process, 4)[1:] == ["You said: running", "", HANDED_OVER_REPLY]
    assert process.stored(waiting).is_held


def test_an_unanswered_question_is_one_turn_of_its_last_author(process: WorkerProcess) -> None:
    take_over(process)
    said = process.platform.message("two")
    process.inbox.accept(said)
    process.inbox.accept(replace(said, message_id="3", text="three", author="bob"))
    process.platform.wait_for(4)
    given = give_back(process)
    turn = process.platform.wait_for(5)[-1]
    assert (turn.id, turn.message.author, turn.message.text) == (given, "bob", "ann: two\n\nbob: three")
    assert (turn.handover, turn.message.caller) == (HandoverPart.RESUMED, EVE)


def test_of_any_number_of_unanswered_messages_all_are_asked(
    process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.answering.past_turns.HISTORY_TURNS", 2)
    take_over(process)
    for text in "abcde":
        process.say(text)
    process.platform.wait_for(7)
    give_back(process)
    assert process.platform.wait_for(8)[-1].message.text == "a\n\nb\n\nc\n\nd\n\ne"


@pytest.mark.parametrize(
    ("sent", "asker", "other"),
    [
        ({}, Decider("fake", "ann"), Decider("fake", "bob")),
        ({"author": "", "caller": "key 1"}, Decider("fake", caller="key 1"), Decider("fake", caller="key 2")),
    ],
    ids=["in a chat", "by an API"],
)
def test_the_asker_of_an_unanswered_question_approves_what_it_leads_to(
    process: WorkerProcess, assistant: FakeAssistant, sent: dict[str, Any], asker: Decider, other: Decider
) -> None:
    call = RequestedCall("c1", "refund", "{}")
    take_over(process)
    process.inbox.accept(replace(process.platform.message("refund it"), **sent))
    process.platform.wait_for(3)
    assistant.script(RunStarted(RunId("r1")), CallsHeld((HeldCall(call, ("asker",)),), "", (), Usage(1, 1), "fake-1"))
    give_back(process)
    (asked,) = process.platform.wait_asked(1)
    decide = partial(Verdict, asked.id, asked.digest, False)  # noqa: FBT003  # denies
    assert process.inbox.decide(decide(other)) is VerdictResult.NOT_ALLOWED
    assert process.inbox.decide(decide(asker)) is VerdictResult.DECIDED
    process.platform.wait_for(4)


def test_an_unanswered_file_without_words_is_a_question(process: WorkerProcess) -> None:
    take_over(process)
    process.inbox.accept(replace(process.platform.message(""), files=(File("bill.pdf", "f1", "application/pdf", 3),)))
    process.platform.wait_for(3)
    given = give_back(process)
    turn = process.platform.wait_for(4)[-1]
    assert (turn.id, turn.is_pushed_text) == (given, False)


def test_a_conversation_of_a_blocked_person_is_answered_and_given_back(process: WorkerProcess) -> None:
    process.store.blocks.add(PersonId("fake", "ann"), "an operator")
    process.async_inbox._admission.block_list.refresh(process.store.blocks)
    with pytest.raises(Blocked):
        process.say("two")
    take_over(process)
    answer(process, "You are blocked.")
    give_back(process)
    assert replies(process, 4)[2:] == ["You are blocked.", RESUMED_REPLY]


def test_with_nothing_left_unanswered_the_assistant_says_that_it_is_back(
    process: WorkerProcess, assistant: FakeAssistant
) -> None:
    take_over(process)
    process.say("two")
    answer(process, "Yes.")
    give_back(process)
    assert replies(process, 5)[-1] == RESUMED_REPLY
    assert assistant.calls.count("run") == 1


def test_an_answer_that_was_not_delivered_leaves_the_question_open(process: WorkerProcess) -> None:
    take_over(process)
    process.say("two")
    process.platform.wait_for(3)
    process.platform.refusals = [DeliveryError("no such channel")]
    lost = answer(process, "Yes.")
    until(lambda: process.stored(lost).state is TurnState.FAILED)
    give_back(process)
    assert replies(process, 4)[-1] == "You said: two"


def test_people_ask_for_a_person_and_end_it_themselves(process: WorkerProcess) -> None:
    process.say("/human", kind=MessageKind.HAND_OVER)
    process.say("/human again", kind=MessageKind.HAND_OVER)
    process.say("two")
    process.say("/resume", kind=MessageKind.RESUME)
    said = [HANDED_OVER_REPLY, ALREADY_HANDED_OVER_REPLY, "", "You said: two"]
    assert replies(process, 5)[1:] == said
    found = process.store.handovers.of_conversation(conversation_of(process).id)
    assert [(each.by, each.reason, each.ended_by) for each in found] == [("ann", "", "ann")]


def test_who_may_ask_nothing_more_asks_for_no_person_either(start: Start) -> None:
    process = start(rules={"user_turns_per_hour": "2"})
    process.say("one")
    for again in ("", " again"):
        process.say(f"/human{again}", kind=MessageKind.HAND_OVER)
        process.say(f"/resume{again}", kind=MessageKind.RESUME)
    found = [turn.failure.code if turn.failure else "" for turn in process.platform.wait_for(5)]
    assert found == ["", "", "", RATE_LIMITED, ""]
    assert len(process.store.handovers.of_conversation(conversation_of(process).id)) == 1


def test_where_nobody_answers_a_command_is_a_message(process: WorkerProcess) -> None:
    process.async_inbox.hands_over = False
    process.say("/human", kind=MessageKind.HAND_OVER)
    assert replies(process, 2)[-1] == "You said: /human"
    assert process.store.handovers.count_open() == 0


def test_the_assistant_hands_over_with_its_tool(process: WorkerProcess, assistant: FakeAssistant) -> None:
    told, done = list[str](), asyncio.Event()

    async def call_twice() -> None:
        told.extend([await process.handovers.hand_over_current("wants a refund") for _ in range(2)])
        done.set()

    def hand_over() -> None:
        tasks.append(asyncio.get_running_loop().create_task(call_twice()))

    tasks: list[asyncio.Task[None]] = []
    assistant.script(RunStarted(RunId("r1")), hand_over, done, RunCompleted("I get somebody."))
    process.say("I want my money back")
    process.platform.wait_for(2)
    process.say("Hello?")
    assert replies(process, 4)[1:] == ["I get somebody.", HANDED_OVER_REPLY, ""]
    assert told == [HANDED_OVER, HANDED_OVER]
    (found,) = process.store.handovers.of_conversation(conversation_of(process).id)
    assert (found.by, found.reason) == ("assistant", "wants a refund")


def test_without_a_turn_the_tool_does_nothing(process: WorkerProcess) -> None:
    assert process.worker.run_coroutine(process.handovers.hand_over_current("why")) == NOT_HERE


def test_a_program_is_answered_in_any_case(process: WorkerProcess) -> None:
    said = replace(process.platform.message("go", channel="p"), options=TurnOptions(is_program=True))
    process.inbox.accept(said)
    process.platform.wait_for(2)
    with pytest.raises(Conflict, match="program"):
        take_over(process, channel="p")


def test_who_takes_over_or_answers_needs_a_conversation_for_it(process: WorkerProcess) -> None:
    with pytest.raises(Conflict, match="The assistant answers"):
        answer(process, "Hi")
    with pytest.raises(Conflict, match="The assistant answers"):
        give_back(process)
    take_over(process)
    with pytest.raises(Conflict) as again:
        take_over(process)
    assert again.value.code == "handed_over"


def test_what_is_not_for_the_bot_is_not_held(process: WorkerProcess) -> None:
    take_over(process)
    process.platform.wait_for(2)
    process.platform.contexts = [NotForUs(), DeliveryError("gone"), ChatContext(speaker="Ann")]
    turns = [process.say(text) for text in ("two", "three", "four")]
    until(lambda: all(process.stored(turn).state.is_resolved for turn in turns))
    states = [process.stored(turn) for turn in turns]
    assert [each.state is TurnState.CANCELLED for each in states] == [True, False, False]
    assert [each.is_held for each in states] == [False, True, True]
    assert states[2].message.speaker == "Ann"


def test_a_conversation_goes_back_when_nobody_has_answered_for_too_long(start: Start) -> None:
    process = start(handover_seconds=0.001)
    process.say("one")
    process.platform.wait_for(1)
    take_over(process)
    process.say("two")
    process.platform.wait_for(3)
    process.worker.run_coroutine(process.handovers.end_overdue())
    assert replies(process, 4)[-1] == "You said: two"
    (found,) = process.store.handovers.of_conversation(conversation_of(process).id)
    assert found.ended_by == "time"
    process.worker.run_coroutine(process.handovers.end_overdue())
    assert len(process.platform.delivered) == 4


def test_an_answer_begins_the_time_anew(start: Start) -> None:
    process = start(handover_seconds=3600.0)
    process.say("one")
    process.platform.wait_for(1)
    take_over(process)
    answer(process, "Soon.")
    process.platform.wait_for(3)
    (found,) = process.store.handovers.listed_open(10)
    late = replace(found, age_seconds=3600.0)
    turns = process.store.transcript(found.conversation.id)
    assert messages.last_answer_at(turns) > found.record.since
    accepted: list[Message] = []

    async def accept(message: Message) -> None:
        accepted.append(message)

    process.worker.run_coroutine(process.handovers._end_if_overdue(late, accept))  # type: ignore[arg-type]  # a recorder
    assert accepted == []
    later = replace(found, age_seconds=3700.0)
    process.worker.run_coroutine(process.handovers._end_if_overdue(later, accept))  # type: ignore[arg-type]  # a recorder
    assert [each.kind for each in accepted] == [MessageKind.RESUME]


def test_events_of_a_handover_are_told_before_they_are_done(process: WorkerProcess) -> None:
    told: list[tuple[MessageKind, bool]] = []

    async def on_changed(turn: Turn) -> None:
        told.append((turn.message.kind, conversation_of(process).handover is not None))

    process.worker._turn_processor.handovers.on_changed = on_changed
    take_over(process)
    give_back(process)
    process.platform.wait_for(3)
    assert told == [(MessageKind.HAND_OVER, True), (MessageKind.RESUME, True)]
