"""What of a handover the assistant remembers, and what it is asked afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.context import ChatContext
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.handover import HandoverPart
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId, TurnState
from gateway.domain.past import exchanges_of, question_of, unanswered
from gateway.handover.messages import staff

KEY = ConversationKey("fake", channel="c")


def turn(text: str, reply: str = "", **more: object) -> Turn:
    message = Message(KEY, text, text, "ann")
    return Turn(TurnId(text), 1, 1, message, TurnState.DELIVERED, reply=reply, **more)  # type: ignore[arg-type]  # fields


def held(text: str, author: str = "ann", **more: object) -> Turn:
    said = turn(text, handover=HandoverPart.HELD)
    return replace(said, message=replace(said.message, author=author, **more))  # type: ignore[arg-type]  # fields


def answer(reply: str, state: TurnState = TurnState.DELIVERED) -> Turn:
    given = turn("", reply)
    return replace(given, message=replace(given.message, caller=staff("Eve")), state=state)


RESET = replace(turn("reset"), message=replace(turn("reset").message, kind=MessageKind.RESET))
RESUMED = turn("two", "Sure.", handover=HandoverPart.RESUMED)


@pytest.mark.parametrize(
    ("turns", "left"),
    [
        ([turn("one", "Hi"), held("two"), held("three")], ["two", "three"]),
        ([held("two"), answer("Yes."), held("three")], ["three"]),
        ([held("two"), answer("Yes.", TurnState.FAILED)], ["two"]),
        ([held("two"), RESUMED], []),
        ([held("two"), RESET, held("three")], ["three"]),
    ],
)
def test_what_is_left_is_what_came_after_the_last_answer(turns: list[Turn], left: list[str]) -> None:
    assert [each.message.text for each in unanswered(turns)] == left


def test_the_past_has_what_was_answered_and_each_question_once() -> None:
    turns = [turn("one", "Hi"), held("a"), held("b"), held("c", "bob"), answer("Yes."), held("two"), RESUMED]
    assert exchanges_of(turns) == (
        Exchange("one", "Hi", "ann"),
        Exchange("a\n\nb", "", "ann"),
        Exchange("c", "Yes.", "bob"),
        Exchange("two", "Sure.", "ann"),
    )


def test_a_question_of_one_person_is_what_they_said_with_all_files() -> None:
    first, second = held("a", files=(File("x", "1"),)), held("b", files=(File("y", "2"),), context=ChatContext("Ann"))
    asked = question_of([first, second])
    assert asked is not None
    assert (asked.text, [file.name for file in asked.files], asked.speaker) == ("a\n\nb", ["x", "y"], "Ann")


def test_what_is_erased_is_not_asked() -> None:
    assert question_of([held(""), held("")]) is None
    assert question_of([]) is None
