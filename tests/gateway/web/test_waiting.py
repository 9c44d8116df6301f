"""Callers who wait in threads: no update is lost between the event loop and them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import Overloaded, TurnNotFound
from gateway.domain.models import ConversationKey, Message, Shown, TextDelta, ToolCall, Turn, TurnId, TurnState
from gateway.web.api import waiting
from gateway.web.api.waiting import Pace, WaitingRoom
from tests.adapters.chat import until

ID = TurnId("turn_1")


def turn(state: TurnState, name: TurnId = ID) -> Turn:
    return Turn(name, 1, 1, Message(ConversationKey("p"), "m", "hi"), state)


DONE = turn(TurnState.ANSWERED)
RUNNING = turn(TurnState.RUNNING)


def never() -> Turn:
    raise AssertionError("the store must not be read here")


def passed_on(told: Sequence[Shown], pauses: Sequence[float] = ()) -> list[Shown]:
    """Returns what a DeltaBatcher passes on for these events, with the pauses after each (cycled)."""
    sent: list[Shown] = []

    async def tell() -> None:
        pace = Pace(sent.append, 0.002)
        for number, shown in enumerate(told):
            pace.put(shown)
            if pauses:
                await asyncio.sleep(pauses[number % len(pauses)])
        pace.close()

    asyncio.run(tell())
    return sent


def joined(shown: Sequence[Shown]) -> list[str]:
    """Returns the texts and tool calls in order, with adjacent texts merged."""
    parts: list[str] = []
    for item in shown:
        if isinstance(item, ToolCall):
            parts.append(f"<{item.call_id}>")
        elif parts and not parts[-1].startswith("<"):
            parts[-1] += item.text
        else:
            parts.append(item.text)
    return parts


def test_the_first_text_is_sent_at_once_and_the_following_texts_in_one_batch() -> None:
    sent: list[Shown] = []

    async def tell() -> None:
        pace = Pace(sent.append, 60.0)
        for text in "abcd":
            pace.put(TextDelta(text))
        assert sent == [TextDelta("a")]
        pace.put(ToolCall("c", "tool"))
        assert sent == [TextDelta("a"), TextDelta("bcd"), ToolCall("c", "tool")]
        pace.put(TextDelta("e"))
        pace.close()

    asyncio.run(tell())
    assert sent[3:] == [TextDelta("e")]


def test_pending_text_is_sent_after_the_interval() -> None:
    sent = passed_on([TextDelta("a"), TextDelta("b"), TextDelta("c")], pauses=[0.0, 0.05])
    assert sent == [TextDelta("a"), TextDelta("b"), TextDelta("c")]


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.builds(TextDelta, st.text(st.characters(exclude_characters="<"), min_size=1, max_size=3))
        | st.builds(ToolCall, st.sampled_from("xyz"), st.just("tool")),
        max_size=20,
    ),
    pauses=st.lists(st.sampled_from([0.0, 0.001, 0.003]), max_size=4),
)
def test_nothing_is_lost_or_reordered(events: list[Shown], pauses: list[float]) -> None:
    sent = passed_on(events, pauses)
    assert joined(sent) == joined(events)
    assert len(sent) <= len(events)


def test_only_waiters_that_want_previews_get_them_and_all_get_the_result() -> None:
    registry = WaitingRoom(3)
    watcher, waiter, other = (
        registry.enter(name, watches=watches) for name, watches in ((ID, True), (ID, False), (TurnId("turn_2"), True))
    )
    assert registry.watched(ID)
    registry.show(ID, TextDelta("x"))
    registry.settle(DONE)
    assert list(watcher.news(never, here=True, patience=9, pulse=9)) == [TextDelta("x"), DONE]
    assert list(waiter.news(never, here=True, patience=9, pulse=9)) == [DONE]
    assert list(other.news(lambda: RUNNING, here=True, patience=0.01, pulse=9)) == [None]


def test_capacity_is_limited_and_closing_a_waiter_twice_frees_it_once() -> None:
    registry = WaitingRoom(2)
    first, _ = (registry.enter(ID, watches=False) for _ in "ab")
    with pytest.raises(Overloaded):
        registry.enter(ID, watches=False)
    first.close()
    first.close()
    assert registry.taken == 1
    registry.enter(ID, watches=False)
    with pytest.raises(Overloaded):
        registry.enter(ID, watches=False)


def test_a_waiter_that_switches_gets_updates_of_the_new_turn_only() -> None:
    registry = WaitingRoom(1)
    waiter = registry.enter(ID, watches=True)
    waiter.turn_to(TurnId("turn_2"))
    registry.settle(DONE)
    other = turn(TurnState.FAILED, TurnId("turn_2"))
    registry.settle(other)
    assert list(waiter.news(never, here=True, patience=9, pulse=9)) == [other]
    waiter.close()
    assert not registry.watched(TurnId("turn_2"))
    assert registry.taken == 0


def test_a_result_that_is_not_reported_is_found_by_polling() -> None:
    states = iter([RUNNING, RUNNING, DONE])
    waiter = WaitingRoom(1).enter(ID, watches=False)
    news = list(waiter.news(lambda: next(states), here=False, patience=60, pulse=60))
    assert news == [None, None, DONE]


def test_an_error_while_polling_is_raised() -> None:
    def gone() -> Turn:
        raise TurnNotFound

    waiter = WaitingRoom(1).enter(ID, watches=False)
    with pytest.raises(TurnNotFound):
        list(waiter.news(gone, here=False, patience=60, pulse=60))


def test_an_update_restarts_the_silence_limit_and_silence_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now))
    registry = WaitingRoom(1)
    news = registry.enter(ID, watches=True).news(never, here=True, patience=0.5, pulse=0.01)
    for now in (0.4, 0.8, 1.2):
        clock.now = now
        registry.show(ID, TextDelta("x"))
        assert next(news) == TextDelta("x")
    assert next(news) is None
    clock.now = 1.8
    assert list(news) == []


def test_closing_the_registry_wakes_all_waiters_and_accepts_no_more() -> None:
    registry = WaitingRoom(2)
    news = registry.enter(ID, watches=False).news(never, here=True, patience=60, pulse=60)
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(list, news)
        until(heard.running)
        registry.close(0.0)
        assert set(heard.result(20)) <= {None}
    with pytest.raises(Overloaded, match="restarting"):
        registry.enter(ID, watches=False)
