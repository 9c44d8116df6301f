"""The soak test's counting finds each kind of error, and none in a correct run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.soak.message_counts import MessageCounts, RememberedMessage, count_messages

ANN, BOB = ("slack", "ann"), ("slack", "bob")
SENT = {ANN: ["m0000001", "m0000002"], BOB: ["m0000003"]}
REPEAT_LABEL = "(Again.)"


def thread_of(*lines: str) -> list[RememberedMessage]:
    """Returns the messages of a thread; ``>`` marks those of the user."""
    return [RememberedMessage(line.startswith(">"), line) for line in lines]


ANNS_THREAD = thread_of("> Hello m0000001.", "You said m0000001.", "> And m0000002.", "You said m0000002.")
BOBS_THREAD = thread_of("> Hello m0000003.", "You said m0000003.")
SHOWN = {ANN: ["You said m0000001.", "You said m0000002."], BOB: ["You said m0000003."]}


def counts_of(
    *threads: Sequence[RememberedMessage], ann: Sequence[str] = SHOWN[ANN], bob: Sequence[str] = SHOWN[BOB]
) -> MessageCounts:
    return count_messages(SENT, {ANN: ann, BOB: bob}, threads or (ANNS_THREAD, BOBS_THREAD), label=REPEAT_LABEL)


def test_a_correct_run_has_no_errors() -> None:
    assert counts_of() == MessageCounts(messages=3)
    assert not any(counts_of().violations.values())


@pytest.mark.parametrize(
    ("tally", "found"),
    [
        (counts_of(ann=SHOWN[ANN][:1]), MessageCounts(3, lost=["m0000002"])),
        (counts_of(ANNS_THREAD), MessageCounts(3, lost=["m0000003"])),
        (counts_of(ANNS_THREAD, BOBS_THREAD[:1]), MessageCounts(3, lost=["m0000003"])),
        (counts_of(ANNS_THREAD, [BOBS_THREAD[0], *BOBS_THREAD]), MessageCounts(3, asked_again=["m0000003"])),
        (counts_of(ANNS_THREAD, [*BOBS_THREAD, BOBS_THREAD[1]]), MessageCounts(3, answered_again=["m0000003"])),
        (counts_of(bob=SHOWN[BOB] * 2), MessageCounts(3, repeated=["m0000003"])),
        (counts_of(ann=SHOWN[ANN][::-1]), MessageCounts(3, reordered=["m0000001"])),
        (counts_of([*ANNS_THREAD[2:], *ANNS_THREAD[:2]], BOBS_THREAD), MessageCounts(3, reordered=["m0000001"] * 2)),
        (counts_of(ANNS_THREAD[:2], ANNS_THREAD[2:], BOBS_THREAD), MessageCounts(3, misplaced=["m0000002"] * 2)),
        (counts_of([*ANNS_THREAD, *BOBS_THREAD]), MessageCounts(3, misplaced=["m0000003"] * 2)),
        (counts_of(ann=[*SHOWN[ANN], *SHOWN[BOB]]), MessageCounts(3, misplaced=["m0000003"])),
        (
            counts_of(ann=[*SHOWN[ANN], *SHOWN[BOB]], bob=[]),
            MessageCounts(3, misplaced=["m0000003"], lost=["m0000003"]),
        ),
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
def test_each_kind_of_error_is_found(tally: MessageCounts, found: MessageCounts) -> None:
    assert tally == found
    assert any(tally.violations.values())


def test_a_labelled_repetition_is_counted_separately() -> None:
    tally = counts_of(bob=[*SHOWN[BOB], f"{REPEAT_LABEL}\n\n{SHOWN[BOB][0]}"])
    assert tally == MessageCounts(3, labelled=["m0000003"])
    assert not any(tally.violations.values())


def test_messages_that_were_not_sent_in_the_test_are_ignored() -> None:
    assert counts_of(ANNS_THREAD, BOBS_THREAD, thread_of("> Hello m9999999.", "> Are you there?")) == MessageCounts(3)
