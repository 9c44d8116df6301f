"""The past is cut from its old end, exchange by exchange."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.history import CUT, cut, fit, pair, size
from gateway.messages import Exchange

EXCHANGES = st.lists(st.builds(Exchange, st.text(max_size=30), st.text(max_size=30), st.text(max_size=3)), max_size=12)
CHARS = st.integers(min_value=0, max_value=400)


@given(EXCHANGES, CHARS)
def test_no_more_is_kept_than_has_room(history: list[Exchange], chars: int) -> None:
    assert sum(map(size, fit(history, chars))) <= chars


@given(EXCHANGES, CHARS)
def test_what_is_kept_are_the_newest_ones_whole_and_as_many_as_have_room(history: list[Exchange], chars: int) -> None:
    kept = fit(history, chars)
    if history and size(history[-1]) > chars:
        assert len(kept) == 1
        return
    assert kept == history[len(history) - len(kept) :]
    if len(kept) < len(history):
        assert sum(map(size, kept)) + size(history[-len(kept) - 1]) > chars


def test_a_newest_one_that_has_no_room_keeps_its_beginnings_and_its_ends() -> None:
    (kept,) = fit([Exchange("old", "old"), Exchange("Q" + "x" * 98 + "?", "A" + "y" * 998 + ".", "Ada")], 300)
    assert kept.text == "Q" + "x" * 98 + "?"
    assert kept.reply.startswith("Ay")
    assert CUT in kept.reply
    assert kept.reply.endswith("y.")
    assert size(kept) == 300
    assert kept.author == "Ada"


@given(st.text(max_size=60), st.integers(min_value=0, max_value=70))
def test_a_cut_text_is_as_long_as_it_may_be(text: str, chars: int) -> None:
    assert len(cut(text, chars)) == min(len(text), chars)
    assert cut(text, chars)[:1] == text[: min(chars, 1)]


def test_what_was_said_becomes_exchanges() -> None:
    said = [
        ("assistant", "Welcome."),
        ("user", "1"),
        ("assistant", "a"),
        ("assistant", "b"),
        ("user", "2"),
        ("user", "3"),
    ]
    assert pair(said) == [Exchange("", "Welcome."), Exchange("1", "a\n\nb"), Exchange("2", ""), Exchange("3", "")]


def test_what_neither_said_is_left_out() -> None:
    assert pair([("user", "1"), ("system", "x"), ("assistant", ""), ("tool", "y"), ("assistant", "a")]) == [
        Exchange("1", "a")
    ]
