"""How much may wait in all and of one platform."""

from __future__ import annotations

import pytest

from gateway.coordination.backpressure import Pressure
from gateway.domain.errors import Overloaded
from gateway.domain.models import ConversationKey, Kind, Message
from gateway.ports.store import Depth


def message(platform: str, kind: Kind = Kind.ASK) -> Message:
    return Message(ConversationKey(platform), "1", "hello", kind=kind)


@pytest.fixture
def pressure() -> Pressure:
    return Pressure(most=5, most_of_one=3)


def test_one_platform_that_is_full_leaves_room_for_the_others(pressure: Pressure) -> None:
    for _ in range(3):
        pressure.admit(message("one"))
    with pytest.raises(Overloaded) as refusal:
        pressure.admit(message("one"))
    assert refusal.value.retry_after
    pressure.admit(message("two"))


def test_all_of_them_together_are_bounded(pressure: Pressure) -> None:
    pressure.look([Depth("one", 2, 1.0), Depth("two", 2, 1.0)])
    pressure.admit(message("three"))
    with pytest.raises(Overloaded):
        pressure.admit(message("four"))


def test_a_look_at_the_table_tells_what_has_been_answered_since(pressure: Pressure) -> None:
    pressure.look([Depth("one", 3, 1.0)])
    with pytest.raises(Overloaded):
        pressure.admit(message("one"))
    pressure.look([])
    pressure.admit(message("one"))


@pytest.mark.parametrize("kind", [Kind.STOP, Kind.RESET])
def test_what_makes_the_queue_shorter_is_always_taken(pressure: Pressure, kind: Kind) -> None:
    pressure.look([Depth("one", 100, 1.0)])
    pressure.admit(message("one", kind))
