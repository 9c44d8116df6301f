"""Limits of unfinished turns, in total and per platform."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.coordination.backpressure import CALLER_QUEUE_FULL, WORKSPACE_QUEUE_FULL, Backpressure
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


def by(author: str) -> Message:
    return replace(message("one"), author=author)


def test_one_caller_does_not_fill_the_queue_for_all() -> None:
    backpressure = Backpressure(max_total=100, max_per_platform=10, caller_share=0.8)
    backpressure.refresh([QueueDepth("one", 7, 1.0, by_share={by("many").share: 7})])
    backpressure.admit(by("many"))
    with pytest.raises(Overloaded, match="MAX_CALLER_SHARE of MAX_QUEUE_PER_PLATFORM") as refusal:
        backpressure.admit(by("many"))
    assert refusal.value.code == CALLER_QUEUE_FULL
    backpressure.admit(by("one"))


def test_one_workspace_does_not_fill_the_queue_for_all() -> None:
    backpressure = Backpressure(max_total=100, max_per_platform=10, workspace_share=0.8)
    many = replace(by("many"), has_workspace_share=True)
    backpressure.refresh([QueueDepth("one", 8, 1.0, by_share={many.share: 8})])
    with pytest.raises(Overloaded, match="MAX_WORKSPACE_SHARE of MAX_QUEUE_PER_PLATFORM") as refusal:
        backpressure.admit(replace(many, author="another"))
    assert refusal.value.code == WORKSPACE_QUEUE_FULL
    backpressure.admit(replace(many, key=replace(many.key, workspace="small")))
