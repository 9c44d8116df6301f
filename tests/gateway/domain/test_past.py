"""What the assistant remembers of turns for which something was inserted."""

from __future__ import annotations

import pytest

from gateway.domain.exchange import Exchange
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.domain.past import exchanges_of
from gateway.domain.turn_options import TurnOptions
from gateway.worker.answering.past_turns import past_of

FIRST, SECOND = Exchange("I am Ada.", "Hello Ada."), Exchange("Am I?", "You are.")


def turn(text: str, reply: str = "", *inserted: Exchange) -> Turn:
    message = Message(ConversationKey("fake"), text, text, options=TurnOptions(inserted=inserted))
    return Turn(TurnId(text), 1, 1, message, TurnState.DELIVERED if reply else TurnState.FAILED, reply=reply)


@pytest.mark.parametrize(
    ("again", "known"),
    [
        ([FIRST], [FIRST]),
        ([FIRST, SECOND], [FIRST, SECOND]),
        ([SECOND], [FIRST, SECOND]),
        ([], [FIRST]),
    ],
)
def test_what_was_inserted_for_a_turn_without_an_answer_is_known_once(
    again: list[Exchange], known: list[Exchange]
) -> None:
    turns = [turn("Who am I?", "", FIRST), turn("And now?", "Ada.", *again)]
    assert exchanges_of(turns) == (*known, Exchange("And now?", "Ada."))


def test_what_is_inserted_again_for_a_turn_is_known_once() -> None:
    assert list(past_of(turn("Who am I?", "", FIRST), [SECOND, FIRST])) == [SECOND, FIRST]


def test_what_was_said_between_stays_where_it_was() -> None:
    turns = [turn("Who am I?", "Ada.", FIRST), turn("And now?", "Ada.", FIRST)]
    said = [FIRST, Exchange("Who am I?", "Ada."), FIRST, Exchange("And now?", "Ada.")]
    assert list(exchanges_of(turns)) == said
