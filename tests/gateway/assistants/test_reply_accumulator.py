"""Text of a reply is shown only once, and the shown text is always its beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.reply_accumulator import GAP, Draft

TEXTS = st.text(alphabet="ab \n", max_size=8)
MESSAGES = st.lists(st.lists(TEXTS, max_size=4), max_size=4)


def write(draft: Draft, messages: list[list[str]], *, limit: int = 10**6) -> str:
    """Adds the first ``limit`` deltas of an attempt. Returns the shown text."""
    deltas = [(str(number), delta) for number, message in enumerate(messages) for delta in message]
    return "".join(draft.delta(name, delta) for name, delta in deltas[:limit])


def end(draft: Draft, messages: list[list[str]]) -> str:
    for message in messages:
        draft.whole("".join(message))
    return draft.rest()


@given(MESSAGES)
def test_the_shown_text_is_the_reply(messages: list[list[str]]) -> None:
    draft = Draft()
    shown = write(draft, messages) + end(draft, messages)
    assert shown == draft.text == GAP.join(text for message in messages if (text := "".join(message)))


@given(MESSAGES, st.integers(min_value=0, max_value=16))
def test_missed_deltas_are_shown_at_the_end(messages: list[list[str]], limit: int) -> None:
    draft = Draft()
    shown = write(draft, messages, limit=limit)
    draft.mute()
    assert write(draft, messages) == ""
    assert shown + end(draft, messages) == draft.text


@given(MESSAGES, st.integers(min_value=0, max_value=16))
def test_a_repeated_attempt_shows_only_new_text(messages: list[list[str]], limit: int) -> None:
    draft = Draft()
    shown = write(draft, messages, limit=limit)
    draft.again()
    shown += write(draft, messages)
    assert shown + end(draft, messages) == draft.text


@given(MESSAGES, MESSAGES, st.integers(min_value=0, max_value=16))
def test_an_attempt_with_different_text_shows_nothing_outside_the_reply(
    first: list[list[str]], second: list[list[str]], limit: int
) -> None:
    draft = Draft()
    shown = write(draft, first, limit=limit)
    draft.again()
    more = write(draft, second) + end(draft, second)
    if draft.text.startswith(shown):
        assert shown + more == draft.text
    else:
        assert not more


def test_complete_messages_of_earlier_rounds_stay() -> None:
    draft = Draft()
    assert draft.delta("1", "One.") == "One."
    draft.whole("One.")
    assert draft.delta("2", "Tw") == "\n\nTw"
    draft.again()
    assert draft.delta("2", "Two") == "o"
    draft.whole("Two")
    assert draft.text == "One.\n\nTwo"
    assert draft.rest() == ""


def test_messages_can_be_replaced() -> None:
    draft = Draft()
    assert draft.delta("1", "One") == "One"
    draft.whole("One.")
    draft.rewrite(["One.", "", "Two."])
    assert draft.rest() == ".\n\nTwo."
    assert draft.rest() == ""
