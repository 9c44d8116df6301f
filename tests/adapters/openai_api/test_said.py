"""How steps of a conversation become a message and what was said before it."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.openai_api.content_parts import ReadContent, RequestFile, numbered
from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.said import (
    Answered,
    Asked,
    Instruction,
    Returned,
    Step,
    arrange,
    open_calls,
    without_repeated,
)
from gateway.domain.exchange import CallOutput, Exchange, RequestedCall

CALL = RequestedCall("call_1", "weather", "{}")
OTHER = RequestedCall("call_2", "time", "{}")


def user(text: str) -> Asked:
    return Asked(ReadContent(text))


def result(call_id: str) -> Returned:
    return Returned(call_id, ReadContent("sunny"))


def steps(*said: Instruction | Asked | Answered | Returned) -> list[Step]:
    return [Step(f"messages[{number}]", each) for number, each in enumerate(said)]


def test_messages_of_one_side_in_a_row_are_one() -> None:
    found = arrange(steps(user("a"), user("b"), Answered("c"), Answered("d"), user("e"), user("f")))
    assert found.history == (Exchange("a\n\nb", "c\n\nd"),)
    assert found.text == "e\n\nf"


def test_instructions_are_collected_wherever_they_stand() -> None:
    found = arrange(steps(Instruction("a"), user("b"), Answered("c"), Instruction("d"), user("e")))
    assert (found.instructions, found.text) == ("a\n\nd", "e")


def test_nothing_but_instructions_asks_by_the_last_one() -> None:
    found = arrange(steps(Instruction("a"), Instruction("b")))
    assert (found.instructions, found.text) == ("a", "b")


def test_calls_and_results_stay_together() -> None:
    found = arrange(
        steps(user("a"), Answered("b", (CALL, OTHER)), result("call_2"), result("call_1"), Answered("c"), user("d"))
    )
    outputs = (CallOutput("call_2", "sunny"), CallOutput("call_1", "sunny"))
    assert found.history == (Exchange("a", "b", calls=(CALL, OTHER)), Exchange("", "c", outputs=outputs))


def test_results_may_be_the_message() -> None:
    found = arrange(steps(user("a"), Answered("", (CALL,)), result("call_1")))
    assert (found.text, found.outputs) == ("", (CallOutput("call_1", "sunny"),))


@pytest.mark.parametrize(
    "said",
    [
        (user("a"), Answered("", (CALL,)), user("b")),
        (user("a"), Answered("", (CALL, OTHER)), result("call_1")),
        (user("a"), Answered("b"), result("call_1")),
        (user("a"), Answered("", (CALL,)), result("call_1"), result("call_1")),
        (user("a"), Answered("", (CALL,)), user("b"), result("call_1")),
        (user("a"), Answered("b")),
    ],
)
def test_what_does_not_fit_together_is_refused(said: tuple[Asked | Answered | Returned, ...]) -> None:
    with pytest.raises(InvalidRequest):
        arrange(steps(*said))


def test_results_that_continue_a_thread_are_checked_by_the_thread() -> None:
    found = arrange(steps(result("call_9"), user("a")), continues=True)
    assert (found.first_outputs, found.text) == ((CallOutput("call_9", "sunny"),), "a")


KNOWN = (
    Exchange("a", "", calls=(CALL,)),
    Exchange("", "", outputs=(CallOutput("call_1", "sunny"),), calls=(OTHER,)),
)


@pytest.mark.parametrize(
    ("said", "new"),
    [
        ((user("a"), result("call_1"), result("call_2"), user("b")), (result("call_2"), user("b"))),
        ((Instruction("i"), user("a"), result("call_2")), (Instruction("i"), result("call_2"))),
        ((user("other"), result("call_2"), user("a")), (user("other"), result("call_2"), user("a"))),
        ((user("a"), result("call_1")), ()),
        ((Instruction("i"), user("a"), result("call_1")), ()),
    ],
)
def test_what_a_thread_has_before_the_results_is_not_said_again(said: tuple[Any, ...], new: tuple[Any, ...]) -> None:
    assert open_calls(KNOWN) == (OTHER,)
    left = without_repeated(steps(*said), KNOWN, (OTHER,))
    assert [each.said for each in left] == [*(new or said)], "if nothing is new, what is wrong is told of all"


def test_calls_are_open_until_they_have_results() -> None:
    again = Exchange("", "", outputs=(CallOutput("call_2", "noon"),), calls=(CALL,))
    assert open_calls((*KNOWN, again)) == (CALL,)
    assert open_calls((*KNOWN, Exchange("", "c", outputs=(CallOutput("call_2", "noon"),)))) == ()


def test_files_have_different_names() -> None:
    files = [RequestFile(name, "", b"") for name in ("image.png", "image.png", "image.png", "image-2.png", "a", "a")]
    assert len({file.name for file in numbered(files)}) == len(files)
