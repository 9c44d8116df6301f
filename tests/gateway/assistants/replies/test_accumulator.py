"""Text of a reply is shown only once, and the shown text is always its beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants.replies.accumulator import MESSAGE_SEPARATOR, ReplyAccumulator

TEXTS = st.text(alphabet="ab \n", max_size=8)
MESSAGES = st.lists(st.lists(TEXTS, max_size=4), max_size=4)


def write_deltas(accumulator: ReplyAccumulator, messages: list[list[str]], *, limit: int = 10**6) -> str:
    """Adds the first ``limit`` deltas of an attempt. Returns the shown text."""
    deltas = [(str(number), delta) for number, message in enumerate(messages) for delta in message]
    return "".join(accumulator.add_delta(name, delta) for name, delta in deltas[:limit])


def finish(accumulator: ReplyAccumulator, messages: list[list[str]]) -> str:
    for message in messages:
        accumulator.add_message("".join(message))
    return accumulator.take_unshown()


@given(MESSAGES)
def test_the_shown_text_is_the_reply(messages: list[list[str]]) -> None:
    draft = ReplyAccumulator()
    shown = write_deltas(draft, messages) + finish(draft, messages)
    assert shown == draft.text == MESSAGE_SEPARATOR.join(text for message in messages if (text := "".join(message)))


@given(MESSAGES, st.integers(min_value=0, max_value=16))
def test_missed_deltas_are_shown_at_the_end(messages: list[list[str]], limit: int) -> None:
    draft = ReplyAccumulator()
    shown = write_deltas(draft, messages, limit=limit)
    draft.stop_showing()
    assert write_deltas(draft, messages) == ""
    assert shown + finish(draft, messages) == draft.text


@given(MESSAGES, st.integers(min_value=0, max_value=16))
def test_a_repeated_attempt_shows_only_new_text(messages: list[list[str]], limit: int) -> None:
    draft = ReplyAccumulator()
    shown = write_deltas(draft, messages, limit=limit)
    draft.restart()
    shown += write_deltas(draft, messages)
    assert shown + finish(draft, messages) == draft.text


@given(MESSAGES, MESSAGES, st.integers(min_value=0, max_value=16))
def test_an_attempt_with_different_text_shows_nothing_outside_the_reply(
    first: list[list[str]], second: list[list[str]], limit: int
) -> None:
    draft = ReplyAccumulator()
    shown = write_deltas(draft, first, limit=limit)
    draft.restart()
    more = write_deltas(draft, second) + finish(draft, second)
    if draft.text.startswith(shown):
        assert shown + more == draft.text
    else:
        assert not more


def test_complete_messages_of_earlier_rounds_stay() -> None:
    draft = ReplyAccumulator()
    assert draft.add_delta("1", "One.") == "One."
    draft.add_message("One.")
    assert draft.add_delta("2", "Tw") == "\n\nTw"
    draft.restart()
    assert draft.add_delta("2", "Two") == "o"
    draft.add_message("Two")
    assert draft.text == "One.\n\nTwo"
    assert draft.take_unshown() == ""


def test_messages_can_be_replaced() -> None:
    draft = ReplyAccumulator()
    assert draft.add_delta("1", "One") == "One"
    draft.add_message("One.")
    draft.replace_messages(["One.", "", "Two."])
    assert draft.take_unshown() == ".\n\nTwo."
    assert draft.take_unshown() == ""
