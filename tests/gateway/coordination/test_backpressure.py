"""Limits of unfinished turns, in total and per platform."""

from __future__ import annotations

import pytest

from gateway.coordination.backpressure import Backpressure
from gateway.domain.errors import Overloaded
from gateway.domain.models import ConversationKey, Message, MessageKind
from gateway.ports.store import QueueDepth


def message(platform: str, kind: MessageKind = MessageKind.PROMPT) -> Message:
    return Message(ConversationKey(platform), "1", "hello", kind=kind)


@pytest.fixture
def backpressure() -> Backpressure:
    return Backpressure(max_total=5, max_per_platform=3)


def test_a_platform_at_its_limit_does_not_block_the_others(backpressure: Backpressure) -> None:
    for _ in range(3):
        backpressure.admit(message("one"))
    with pytest.raises(Overloaded) as refusal:
        backpressure.admit(message("one"))
    assert refusal.value.retry_after
    backpressure.admit(message("two"))


def test_the_total_of_all_platforms_is_limited(backpressure: Backpressure) -> None:
    backpressure.refresh([QueueDepth("one", 2, 1.0), QueueDepth("two", 2, 1.0)])
    backpressure.admit(message("three"))
    with pytest.raises(Overloaded):
        backpressure.admit(message("four"))


def test_a_refresh_accounts_for_turns_finished_since(backpressure: Backpressure) -> None:
    backpressure.refresh([QueueDepth("one", 3, 1.0)])
    with pytest.raises(Overloaded):
        backpressure.admit(message("one"))
    backpressure.refresh([])
    backpressure.admit(message("one"))


@pytest.mark.parametrize("kind", [MessageKind.STOP, MessageKind.RESET])
def test_stops_and_resets_are_always_accepted(backpressure: Backpressure, kind: MessageKind) -> None:
    backpressure.refresh([QueueDepth("one", 100, 1.0)])
    backpressure.admit(message("one", kind))
