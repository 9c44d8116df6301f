"""Callers who wait: no update is lost between the worker and them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.approvals import Approval
from gateway.domain.errors import Overloaded, TurnNotFound
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from gateway.domain.run_events import PreviewEvent, TextDelta, ToolCall
from gateway.domain.shares import Share
from gateway.web.api import waiting
from gateway.web.api.waiting import (
    CALLER_WAITING_FULL,
    POLLS_PER_SECOND,
    DeltaBatcher,
    LoadTurn,
    Waiter,
    WaiterRegistry,
)
from tests.examples import examples

TURN_ID = TurnId("turn_1")


def new_turn(state: TurnState, turn_id: TurnId = TURN_ID) -> Turn:
    return Turn(turn_id, 1, 1, Message(ConversationKey("p"), "m", "hi"), state)


DONE = new_turn(TurnState.ANSWERED)
RUNNING = new_turn(TurnState.RUNNING)


async def must_not_load() -> Turn:
    raise AssertionError("the store must not be read here")


async def done() -> Turn:
    return DONE


async def everything(
    waiter: Waiter, *, load_turn: LoadTurn = must_not_load, max_silence: float = 9.0
) -> list[PreviewEvent | Approval | Turn | None]:
    news = waiter.updates(load_turn, is_local=True, max_silence=max_silence, idle_interval=9.0)
    return [update async for update in news]


def batched(events: Sequence[PreviewEvent], pauses: Sequence[float] = ()) -> list[PreviewEvent]:
    """Returns what a DeltaBatcher passes on for these events, with the pauses after each (cycled)."""
    sent: list[PreviewEvent] = []

    async def tell() -> None:
        pace = DeltaBatcher(sent.append, 0.002)
        for number, shown in enumerate(events):
            pace.add(shown)
            if pauses:
                await asyncio.sleep(pauses[number % len(pauses)])
        pace.close()

    asyncio.run(tell())
    return sent


def merged_texts(events: Sequence[PreviewEvent]) -> list[str]:
    """Returns the texts and tool calls in order, with adjacent texts merged."""
    parts: list[str] = []
    for item in events:
        if isinstance(item, ToolCall):
            parts.append(f"<{item.call_id}>")
        elif parts and not parts[-1].startswith("<"):
            parts[-1] += item.text
        else:
            parts.append(item.text)
    return parts


def test_the_first_text_is_sent_at_once_and_the_following_texts_in_one_batch() -> None:
    sent: list[PreviewEvent] = []

    async def tell() -> None:
        pace = DeltaBatcher(sent.append, 60.0)
        for text in "abcd":
            pace.add(TextDelta(text))
        assert sent == [TextDelta("a")]
        pace.add(ToolCall("c", "tool"))
        assert sent == [TextDelta("a"), TextDelta("bcd"), ToolCall("c", "tool")]
        for text in "ef":
            pace.add(TextDelta(text, is_refusal=text == "f"))
        pace.close()

    asyncio.run(tell())
    assert sent[3:] == [TextDelta("e"), TextDelta("f", is_refusal=True)]


def test_pending_text_is_sent_after_the_interval() -> None:
    sent = batched([TextDelta("a"), TextDelta("b"), TextDelta("c")], pauses=[0.0, 0.05])
    assert sent == [TextDelta("a"), TextDelta("b"), TextDelta("c")]


@settings(max_examples=examples(25))
@given(
    events=st.lists(
        st.builds(TextDelta, st.text(st.characters(exclude_characters="<"), min_size=1, max_size=3))
        | st.builds(ToolCall, st.sampled_from("xyz"), st.just("tool")),
        max_size=20,
    ),
    pauses=st.lists(st.sampled_from([0.0, 0.001, 0.003]), max_size=4),
)
def test_nothing_is_lost_or_reordered(events: list[PreviewEvent], pauses: list[float]) -> None:
    sent = batched(events, pauses)
    assert merged_texts(sent) == merged_texts(events)
    assert len(sent) <= len(events)


async def test_only_waiters_that_want_previews_get_them_and_all_get_the_result() -> None:
    registry = WaiterRegistry(3)
    watcher, waiter, other = (
        registry.register(name, wants_previews=watches)
        for name, watches in ((TURN_ID, True), (TURN_ID, False), (TurnId("turn_2"), True))
    )
    assert registry.has_preview_waiter(TURN_ID)
    registry.publish_preview(TURN_ID, TextDelta("x"))
    registry.resolve(DONE)
    assert await everything(watcher) == [TextDelta("x"), DONE]
    assert await everything(waiter) == [DONE]
    assert await everything(other, max_silence=0.01) == [None]


async def test_capacity_is_limited_and_closing_a_waiter_twice_frees_it_once() -> None:
    registry = WaiterRegistry(2)
    first, _ = (registry.register(TURN_ID, wants_previews=False) for _ in "ab")
    with pytest.raises(Overloaded):
        registry.register(TURN_ID, wants_previews=False)
    first.close()
    first.close()
    assert registry.count == 1
    registry.register(TURN_ID, wants_previews=False)
    with pytest.raises(Overloaded):
        registry.register(TURN_ID, wants_previews=False)


async def test_a_waiter_that_switches_gets_updates_of_the_new_turn_only() -> None:
    registry = WaiterRegistry(1)
    waiter = registry.register(TURN_ID, wants_previews=True)
    waiter.switch_to(TurnId("turn_2"))
    registry.resolve(DONE)
    other = new_turn(TurnState.FAILED, TurnId("turn_2"))
    registry.resolve(other)
    assert await everything(waiter) == [other]
    waiter.close()
    assert not registry.has_preview_waiter(TurnId("turn_2"))
    assert registry.count == 0


async def test_a_result_that_is_not_reported_is_found_by_polling() -> None:
    states = iter([RUNNING, RUNNING, DONE])

    async def load() -> Turn:
        return next(states)

    waiter = WaiterRegistry(1).register(TURN_ID, wants_previews=False)
    news = waiter.updates(load, is_local=False, max_silence=60, idle_interval=60)
    assert [update async for update in news] == [None, None, DONE]


async def test_many_callers_poll_no_more_often_together_than_some_hundred_do() -> None:
    registry = WaiterRegistry(10_000)
    registry.register(TURN_ID, wants_previews=False)
    assert [registry.poll_pause(last) for last in (0.25, 1.0, 2.0)] == [0.375, 1.5, 2.0]
    for _ in range(9_999):
        registry.register(TURN_ID, wants_previews=False)
    assert registry.poll_pause(0.25) == 10_000 / POLLS_PER_SECOND


async def test_what_another_process_has_resolved_is_looked_up_at_once() -> None:
    registry = WaiterRegistry(1)
    waiter = registry.register(TURN_ID, wants_previews=False)
    registry.notify(TURN_ID)
    assert await everything(waiter, load_turn=done) == [DONE]


async def test_an_error_while_polling_is_raised() -> None:
    async def gone() -> Turn:
        raise TurnNotFound

    waiter = WaiterRegistry(1).register(TURN_ID, wants_previews=False)
    waiter.poll_now()
    with pytest.raises(TurnNotFound):
        await everything(waiter, load_turn=gone)


async def test_an_update_restarts_the_silence_limit_and_silence_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now))
    registry = WaiterRegistry(1)
    news = registry.register(TURN_ID, wants_previews=True).updates(
        must_not_load, is_local=True, max_silence=0.5, idle_interval=0.01
    )
    for now in (0.4, 0.8, 1.2):
        clock.now = now
        registry.publish_preview(TURN_ID, TextDelta("x"))
        assert await anext(news) == TextDelta("x")
    assert await anext(news) is None
    clock.now = 1.8
    assert [update async for update in news] == []


async def test_closing_the_registry_wakes_all_waiters_and_accepts_no_more() -> None:
    registry = WaiterRegistry(2)
    waiting = asyncio.create_task(everything(registry.register(TURN_ID, wants_previews=False)))
    await asyncio.sleep(0)
    registry.close(0.0)
    assert set(await waiting) <= {None}
    with pytest.raises(Overloaded, match="restarting"):
        registry.register(TURN_ID, wants_previews=False)


async def test_a_waiter_that_is_closed_ends_its_wait() -> None:
    registry = WaiterRegistry(1)
    waiter = registry.register(TURN_ID, wants_previews=False)
    waiting = asyncio.create_task(everything(waiter))
    await asyncio.sleep(0)
    waiter.close()
    assert set(await waiting) <= {None}
    assert registry.count == 0


async def test_updates_may_come_from_any_thread() -> None:
    registry = WaiterRegistry(1)
    waiting = asyncio.create_task(everything(registry.register(TURN_ID, wants_previews=True)))
    await asyncio.sleep(0)
    texts = [TextDelta(str(number)) for number in range(100)]

    def report() -> None:
        for text in texts:
            registry.publish_preview(TURN_ID, text)
        registry.resolve(DONE)

    await asyncio.to_thread(report)
    assert [update for update in await waiting if update is not None] == [*texts, DONE]


def test_an_update_for_a_loop_that_has_ended_is_dropped() -> None:
    registry = WaiterRegistry(1)

    async def register() -> None:
        registry.register(TURN_ID, wants_previews=False)

    asyncio.run(register())
    registry.resolve(DONE)


async def test_one_caller_does_not_take_all_places() -> None:
    registry = WaiterRegistry(5, caller_share=0.8)
    many = [registry.register(TurnId(f"{number}"), Share("many"), wants_previews=False) for number in range(4)]
    with pytest.raises(Overloaded, match="MAX_CALLER_SHARE of MAX_WAITING_CALLERS") as refusal:
        registry.register(TURN_ID, Share("many"), wants_previews=False)
    assert refusal.value.code == CALLER_WAITING_FULL
    one = registry.register(TURN_ID, Share("one"), wants_previews=False)
    for waiter in (*many, one, one):
        waiter.close()
    assert registry.count == 0
    registry.register(TURN_ID, Share("many"), wants_previews=False)
