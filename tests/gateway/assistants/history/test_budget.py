"""History is shortened from its oldest exchange on, one exchange at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.history.exchanges import (
    CUT_MARK,
    cut_middle,
    exchange_chars,
    fit_history,
    pair_exchanges,
    truncated,
)
from gateway.domain.exchange import CallRound, Exchange, RequestedCall
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.domain.turn_options import TurnOptions

EXCHANGES = st.lists(st.builds(Exchange, st.text(max_size=30), st.text(max_size=30), st.text(max_size=3)), max_size=12)
CHARS = st.integers(min_value=0, max_value=400)


@given(EXCHANGES, CHARS)
def test_the_history_never_exceeds_the_limit(history: list[Exchange], chars: int) -> None:
    assert sum(map(exchange_chars, fit_history(history, chars))) <= chars


@given(EXCHANGES, CHARS)
def test_as_many_whole_newest_exchanges_as_possible_are_kept(history: list[Exchange], chars: int) -> None:
    kept = fit_history(history, chars)
    if history and exchange_chars(history[-1]) > chars:
        assert len(kept) == (chars > 0)
        return
    assert kept == history[len(history) - len(kept) :]
    if len(kept) < len(history):
        assert sum(map(exchange_chars, kept)) + exchange_chars(history[-len(kept) - 1]) > chars


def test_a_newest_exchange_that_is_too_long_is_cut_in_the_middle() -> None:
    (kept,) = fit_history([Exchange("old", "old"), Exchange("Q" + "x" * 98 + "?", "A" + "y" * 998 + ".", "Ada")], 300)
    assert kept.text == "Q" + "x" * 98 + "?"
    assert kept.reply.startswith("Ay")
    assert CUT_MARK in kept.reply
    assert kept.reply.endswith("y.")
    assert exchange_chars(kept) == 300
    assert kept.author == "Ada"


@given(st.text(max_size=60), st.integers(min_value=0, max_value=70))
def test_a_cut_text_uses_the_whole_limit(text: str, chars: int) -> None:
    assert len(cut_middle(text, chars)) == min(len(text), chars)
    assert cut_middle(text, chars)[:1] == text[: min(chars, 1)]


@pytest.mark.parametrize(
    ("count", "kept"),
    [
        (1, []),
        (2, [Exchange("", "b")]),
        (3, [Exchange("2", "b")]),
        (4, [Exchange("", "a"), Exchange("2", "b")]),
        (9, [Exchange("1", "a"), Exchange("2", "b")]),
    ],
)
def test_a_turn_may_remember_the_last_messages_only(count: int, kept: list[Exchange]) -> None:
    own = Exchange("3", "", calls=(RequestedCall("call", "weather", "{}"),))
    options = TurnOptions(parameters={"truncation_strategy": {"type": "last_messages", "last_messages": count}})
    message = Message(ConversationKey("openai"), "m", "3", options=options)
    turn = Turn(TurnId("turn_1"), 1, 3, message, TurnState.RUNNING)
    history = [Exchange("1", "a"), Exchange("2", "b")]
    assert truncated(history, turn) == kept
    waiting = replace(turn, rounds=(CallRound(own.calls),))
    assert truncated([*history, own], waiting) == [*kept, own], "its own message counts once"


def test_messages_become_exchanges() -> None:
    said = [
        ("assistant", "Welcome."),
        ("user", "1"),
        ("assistant", "a"),
        ("assistant", "b"),
        ("user", "2"),
        ("user", "3"),
    ]
    assert pair_exchanges(said) == [
        Exchange("", "Welcome."),
        Exchange("1", "a\n\nb"),
        Exchange("2", ""),
        Exchange("3", ""),
    ]


def test_messages_of_other_roles_are_ignored() -> None:
    assert pair_exchanges([("user", "1"), ("system", "x"), ("assistant", ""), ("tool", "y"), ("assistant", "a")]) == [
        Exchange("1", "a")
    ]
