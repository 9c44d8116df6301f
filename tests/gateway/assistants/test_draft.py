"""What is shown of a reply is shown once, and is its beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.draft import GAP, Draft

TEXTS = st.text(alphabet="ab \n", max_size=8)
MESSAGES = st.lists(st.lists(TEXTS, max_size=4), max_size=4)


def write(draft: Draft, messages: list[list[str]], *, limit: int = 10**6) -> str:
    """Let an attempt write its first ``limit`` deltas; what it shows."""
    deltas = [(str(number), delta) for number, message in enumerate(messages) for delta in message]
    return "".join(draft.delta(name, delta) for name, delta in deltas[:limit])


def end(draft: Draft, messages: list[list[str]]) -> str:
    for message in messages:
        draft.whole("".join(message))
    return draft.rest()


@given(MESSAGES)
def test_what_is_shown_is_the_reply(messages: list[list[str]]) -> None:
    draft = Draft()
    shown = write(draft, messages) + end(draft, messages)
    assert shown == draft.text == GAP.join(text for message in messages if (text := "".join(message)))


@given(MESSAGES, st.integers(min_value=0, max_value=16))
def test_deltas_that_were_missed_are_made_up_for(messages: list[list[str]], limit: int) -> None:
    draft = Draft()
    shown = write(draft, messages, limit=limit)
    draft.mute()
    assert write(draft, messages) == ""
    assert shown + end(draft, messages) == draft.text


@given(MESSAGES, st.integers(min_value=0, max_value=16))
def test_an_attempt_that_says_the_same_again_shows_only_what_is_new(messages: list[list[str]], limit: int) -> None:
    draft = Draft()
    shown = write(draft, messages, limit=limit)
    draft.again()
    shown += write(draft, messages)
    assert shown + end(draft, messages) == draft.text


@given(MESSAGES, MESSAGES, st.integers(min_value=0, max_value=16))
def test_an_attempt_that_says_something_else_never_shows_what_is_not_the_reply(
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


def test_the_whole_messages_of_earlier_rounds_stay() -> None:
    draft = Draft()
    assert draft.delta("1", "One.") == "One."
    draft.whole("One.")
    assert draft.delta("2", "Tw") == "\n\nTw"
    draft.again()
    assert draft.delta("2", "Two") == "o"
    draft.whole("Two")
    assert draft.text == "One.\n\nTwo"
    assert draft.rest() == ""


def test_messages_can_be_told_anew() -> None:
    draft = Draft()
    assert draft.delta("1", "One") == "One"
    draft.whole("One.")
    draft.rewrite(["One.", "", "Two."])
    assert draft.rest() == ".\n\nTwo."
    assert draft.rest() == ""
