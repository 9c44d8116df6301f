"""Events that the operator subscribes to are stored once, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gateway.callbacks.addresses import AddressRule
from gateway.callbacks.outbox import CallbackOutbox, EventOutbox
from gateway.callbacks.settings import EVENTS
from gateway.coordination.async_store import AsyncStore
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Failure, MessageKind, Turn, TurnState
from gateway.domain.platform_events import Feedback
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue

URL = "https://example.com/events"


@pytest.fixture
def journal(sqlite_store: SqlStore) -> Iterator[AsyncStore]:
    with ThreadPoolExecutor(1) as executor:
        yield AsyncStore(sqlite_store, executor)


@pytest.fixture
def outbox(sqlite_store: SqlStore) -> CallbackOutbox:
    return CallbackOutbox(sqlite_store.callbacks, AddressRule(), max_waiting=10)


def stored(store: SqlStore) -> list[dict[str, object]]:
    return [json.loads(each.body) for each in reversed(store.callbacks.listed(10))]


def answered(turn: Turn) -> Turn:
    return replace(turn, state=TurnState.ANSWERED, reply="Hi", answered_at=turn.received_at)


async def test_outcomes_are_stored_once_each(
    sqlite_store: SqlStore, journal: AsyncStore, outbox: CallbackOutbox
) -> None:
    events = EventOutbox(outbox, journal, URL, EVENTS)
    turn = replace(enqueue(sqlite_store).turn, assistant="support")
    for _ in range(2):
        await events.on_resolved(answered(turn))
    await events.on_resolved(replace(turn, state=TurnState.FAILED, failure=Failure("refused", "Sorry.", "secret")))
    await events.on_resolved(replace(turn, state=TurnState.CANCELLED))
    await events.on_resolved(replace(answered(turn), message=replace(turn.message, kind=MessageKind.RESET)))
    await events.on_resolved(replace(answered(turn), message=replace(turn.message, caller="push x", text="")))
    first, second = stored(sqlite_store)
    assert (first["type"], second["type"]) == ("turn.answered", "turn.failed")
    said: dict[str, object] = first["data"]  # type: ignore[assignment]  # JSON
    assert (said["response"], said["assistant"]) == ("Hi", "support")
    assert second["data"]["error"] == {"code": "refused", "message": "Sorry."}  # type: ignore[index]  # JSON


async def test_only_what_is_subscribed_to_is_stored(
    sqlite_store: SqlStore, journal: AsyncStore, outbox: CallbackOutbox
) -> None:
    events, turn = EventOutbox(outbox, journal, URL, {"turn.failed"}), enqueue(sqlite_store).turn
    await events.on_resolved(answered(turn))
    await events.on_feedback(Feedback(turn.id, "Ada", "good"))
    assert stored(sqlite_store) == []


async def test_each_rating_is_stored_with_its_turn(
    sqlite_store: SqlStore, journal: AsyncStore, outbox: CallbackOutbox
) -> None:
    events, turn = EventOutbox(outbox, journal, URL, EVENTS), enqueue(sqlite_store).turn
    for value in ("good", "good", "bad"):
        await events.on_feedback(Feedback(turn.id, "Ada", value))
    await events.on_feedback(replace(Feedback(turn.id, "Ada", "good"), turn_id=turn.id))
    ratings = [each["data"]["rating"] for each in stored(sqlite_store)]  # type: ignore[index]  # JSON
    assert ratings == [{"by": "Ada", "value": "good"}, {"by": "Ada", "value": "bad"}]


async def test_handovers_are_told_once_each_and_what_is_left_to_a_person_is_no_answer(
    sqlite_store: SqlStore, journal: AsyncStore, outbox: CallbackOutbox
) -> None:
    events, turn = EventOutbox(outbox, journal, URL, EVENTS), enqueue(sqlite_store).turn
    staff = replace(turn.message, text="angry", kind=MessageKind.HAND_OVER, caller="push staff Eve")
    for _ in range(2):
        await events.on_handover(replace(turn, message=staff))
        await events.on_handover(replace(turn, message=replace(turn.message, kind=MessageKind.RESUME)))
    await events.on_resolved(replace(answered(turn), handover=HandoverPart.HELD))
    taken, resumed = stored(sqlite_store)
    assert (taken["type"], resumed["type"]) == ("conversation.handed_over", "conversation.resumed")
    assert (taken["data"]["by"], taken["data"]["reason"]) == ("staff Eve", "angry")  # type: ignore[index]  # JSON
    assert resumed["data"]["by"] == "Ada"  # type: ignore[index]  # JSON


async def test_the_caller_of_a_held_turn_is_told_that_a_person_answers(
    sqlite_store: SqlStore, outbox: CallbackOutbox
) -> None:
    held = replace(answered(enqueue(sqlite_store).turn), handover=HandoverPart.HELD)
    await outbox.add_answer(held, URL, {"handed_over": True})
    (told,) = stored(sqlite_store)
    assert (told["type"], told["data"]) == ("turn.handed_over", {"handed_over": True})
