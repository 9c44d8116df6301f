"""Callers who wait in threads: nothing gets lost between them and the loop that tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api import waiting
from gateway.api.waiting import Pace, WaitingRoom
from gateway.errors import Overloaded, TurnNotFound
from gateway.messages import ConversationKey, Message, Shown, TextDelta, ToolCall, Turn, TurnId, TurnState
from tests.adapters.chat import until

ID = TurnId("turn_1")


def turn(state: TurnState, name: TurnId = ID) -> Turn:
    return Turn(name, 1, 1, Message(ConversationKey("p"), "m", "hi"), state)


DONE = turn(TurnState.ANSWERED)
RUNNING = turn(TurnState.RUNNING)


def never() -> Turn:
    raise AssertionError("nobody has to look")


def passed_on(told: Sequence[Shown], pauses: Sequence[float] = ()) -> list[Shown]:
    """What leaves when this is told, with pauses (in turn, again and again) after each."""
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
    """Texts and the tools between them, with neighbouring texts as one."""
    parts: list[str] = []
    for item in shown:
        if isinstance(item, ToolCall):
            parts.append(f"<{item.call_id}>")
        elif parts and not parts[-1].startswith("<"):
            parts[-1] += item.text
        else:
            parts.append(item.text)
    return parts


def test_the_first_text_leaves_at_once_and_what_follows_closely_leaves_together() -> None:
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


def test_held_text_leaves_by_itself_when_its_time_has_come() -> None:
    sent = passed_on([TextDelta("a"), TextDelta("b"), TextDelta("c")], pauses=[0.0, 0.05])
    assert sent == [TextDelta("a"), TextDelta("b"), TextDelta("c")]


@settings(max_examples=60, deadline=None)
@given(
    told=st.lists(
        st.builds(TextDelta, st.text(st.characters(exclude_characters="<"), min_size=1, max_size=3))
        | st.builds(ToolCall, st.sampled_from("xyz"), st.just("tool")),
        max_size=20,
    ),
    pauses=st.lists(st.sampled_from([0.0, 0.001, 0.003]), max_size=4),
)
def test_nothing_gets_lost_or_changes_places(told: list[Shown], pauses: list[float]) -> None:
    sent = passed_on(told, pauses)
    assert joined(sent) == joined(told)
    assert len(sent) <= len(told)


def test_only_who_watches_is_shown_what_happens_and_all_hear_the_outcome() -> None:
    room = WaitingRoom(3)
    watcher, waiter, other = (
        room.enter(name, watches=watches) for name, watches in ((ID, True), (ID, False), (TurnId("turn_2"), True))
    )
    assert room.watched(ID)
    room.show(ID, TextDelta("x"))
    room.settle(DONE)
    assert list(watcher.news(never, here=True, patience=9, pulse=9)) == [TextDelta("x"), DONE]
    assert list(waiter.news(never, here=True, patience=9, pulse=9)) == [DONE]
    assert list(other.news(lambda: RUNNING, here=True, patience=0.01, pulse=9)) == [None]


def test_a_room_has_so_many_places_and_a_place_is_free_once_however_often_it_is_left() -> None:
    room = WaitingRoom(2)
    first, _ = (room.enter(ID, watches=False) for _ in "ab")
    with pytest.raises(Overloaded):
        room.enter(ID, watches=False)
    first.close()
    first.close()
    assert room.taken == 1
    room.enter(ID, watches=False)
    with pytest.raises(Overloaded):
        room.enter(ID, watches=False)


def test_who_turns_to_another_turn_hears_of_that_one_alone() -> None:
    room = WaitingRoom(1)
    waiter = room.enter(ID, watches=True)
    waiter.turn_to(TurnId("turn_2"))
    room.settle(DONE)
    other = turn(TurnState.FAILED, TurnId("turn_2"))
    room.settle(other)
    assert list(waiter.news(never, here=True, patience=9, pulse=9)) == [other]
    waiter.close()
    assert not room.watched(TurnId("turn_2"))
    assert room.taken == 0


def test_what_nobody_tells_is_found_in_the_table() -> None:
    states = iter([RUNNING, RUNNING, DONE])
    waiter = WaitingRoom(1).enter(ID, watches=False)
    news = list(waiter.news(lambda: next(states), here=False, patience=60, pulse=60))
    assert news == [None, None, DONE]


def test_what_the_table_says_is_told_even_if_it_is_bad() -> None:
    def gone() -> Turn:
        raise TurnNotFound

    waiter = WaitingRoom(1).enter(ID, watches=False)
    with pytest.raises(TurnNotFound):
        list(waiter.news(gone, here=False, patience=60, pulse=60))


def test_news_renews_the_patience_and_silence_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now))
    room = WaitingRoom(1)
    news = room.enter(ID, watches=True).news(never, here=True, patience=0.5, pulse=0.01)
    for now in (0.4, 0.8, 1.2):
        clock.now = now
        room.show(ID, TextDelta("x"))
        assert next(news) == TextDelta("x")
    assert next(news) is None
    clock.now = 1.8
    assert list(news) == []


def test_a_room_that_closes_wakes_everybody_and_lets_nobody_in() -> None:
    room = WaitingRoom(2)
    news = room.enter(ID, watches=False).news(never, here=True, patience=60, pulse=60)
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(list, news)
        until(heard.running)
        room.close(0.0)
        assert set(heard.result(20)) <= {None}
    with pytest.raises(Overloaded, match="restarting"):
        room.enter(ID, watches=False)
