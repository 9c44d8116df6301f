"""The soak test's counting finds each kind of error, and none in a correct run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.soak.message_counts import Line, Tally, count

ANN, BOB = ("slack", "ann"), ("slack", "bob")
SAID = {ANN: ["m0000001", "m0000002"], BOB: ["m0000003"]}
AGAIN = "(Again.)"


def thread(*lines: str) -> list[Line]:
    """Returns the messages of a thread; ``>`` marks those of the user."""
    return [Line(line.startswith(">"), line) for line in lines]


ANNS = thread("> Hello m0000001.", "You said m0000001.", "> And m0000002.", "You said m0000002.")
BOBS = thread("> Hello m0000003.", "You said m0000003.")
SHOWN = {ANN: ["You said m0000001.", "You said m0000002."], BOB: ["You said m0000003."]}


def tally_of(*threads: Sequence[Line], ann: Sequence[str] = SHOWN[ANN], bob: Sequence[str] = SHOWN[BOB]) -> Tally:
    return count(SAID, {ANN: ann, BOB: bob}, threads or (ANNS, BOBS), label=AGAIN)


def test_a_correct_run_has_no_errors() -> None:
    assert tally_of() == Tally(messages=3)
    assert not any(tally_of().wrongs.values())


@pytest.mark.parametrize(
    ("tally", "found"),
    [
        (tally_of(ann=SHOWN[ANN][:1]), Tally(3, lost=["m0000002"])),
        (tally_of(ANNS), Tally(3, lost=["m0000003"])),
        (tally_of(ANNS, BOBS[:1]), Tally(3, lost=["m0000003"])),
        (tally_of(ANNS, [BOBS[0], *BOBS]), Tally(3, asked_again=["m0000003"])),
        (tally_of(ANNS, [*BOBS, BOBS[1]]), Tally(3, answered_again=["m0000003"])),
        (tally_of(bob=SHOWN[BOB] * 2), Tally(3, repeated=["m0000003"])),
        (tally_of(ann=SHOWN[ANN][::-1]), Tally(3, reordered=["m0000001"])),
        (tally_of([*ANNS[2:], *ANNS[:2]], BOBS), Tally(3, reordered=["m0000001"] * 2)),
        (tally_of(ANNS[:2], ANNS[2:], BOBS), Tally(3, astray=["m0000002"] * 2)),
        (tally_of([*ANNS, *BOBS]), Tally(3, astray=["m0000003"] * 2)),
        (tally_of(ann=[*SHOWN[ANN], *SHOWN[BOB]]), Tally(3, astray=["m0000003"])),
        (tally_of(ann=[*SHOWN[ANN], *SHOWN[BOB]], bob=[]), Tally(3, astray=["m0000003"], lost=["m0000003"])),
    ],
    ids=[
        *(
            "no-reply",
            "never-asked",
            "never-answered",
            "asked-twice",
            "answered-twice",
            "said-twice",
            "replies-swapped",
        ),
        *("thread-swapped", "two-threads", "one-thread-for-two", "reply-elsewhere-too", "reply-elsewhere"),
    ],
)
def test_each_kind_of_error_is_found(tally: Tally, found: Tally) -> None:
    assert tally == found
    assert any(tally.wrongs.values())


def test_a_labelled_repetition_is_counted_separately() -> None:
    tally = tally_of(bob=[*SHOWN[BOB], f"{AGAIN}\n\n{SHOWN[BOB][0]}"])
    assert tally == Tally(3, labelled=["m0000003"])
    assert not any(tally.wrongs.values())


def test_messages_that_were_not_sent_in_the_test_are_ignored() -> None:
    assert tally_of(ANNS, BOBS, thread("> Hello m9999999.", "> Are you there?")) == Tally(3)
