"""Delivery by the worker: deferred, rejected, continued by another process."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.domain.errors import DeliveryError, LeaseLost
from gateway.domain.models import Turn, TurnState
from gateway.ports.platform import DeliveryContext
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start


def test_a_deferred_delivery_is_retried(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.turn_processor.DELIVERY_RETRY_DELAYS", (0.0, 0.0))
    process = start()
    process.platform.refusals = [DeliveryError("slow down", retry_after=0.0)] * 20
    process.say("hello")
    process.platform.wait_for(1)
    assert process.platform.attempts == 21


@pytest.mark.parametrize("refusal", [DeliveryError("gone"), DeliveryError("slow", retry_after=0.0)])
def test_a_reply_that_the_platform_rejects_is_stored_with_the_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch, refusal: DeliveryError
) -> None:
    monkeypatch.setattr("gateway.worker.turn_processor.DELIVERY_GIVE_UP_SECONDS", -1.0)
    process = start()
    process.platform.refusals = [refusal]
    lost = process.say("hello")
    process.say("again")
    process.platform.wait_for(1)
    stored = process.stored(lost)
    assert stored.state is TurnState.FAILED
    assert stored.reply == "You said: hello"
    assert stored.failure is not None
    assert (stored.failure.code, stored.failure.detail) == ("undeliverable", str(refusal))


def test_saved_progress_of_a_delivery_is_passed_to_the_next_process(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(owner="one")
    started = threading.Event()

    async def never_ends(turn: Turn, context: DeliveryContext) -> None:
        assert (context.first_attempt, context.posted_messages) == (True, ())
        await context.save_progress(["part 1"])
        await context.save_progress(["part 1", "part 2"])
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(first.platform, "deliver", never_ends)
    turn = first.say("hello")
    assert started.wait(20)
    first.stop(grace=0.0)
    second = start(owner="two")
    seen: list[tuple[bool, tuple[str, ...], tuple[str, ...]]] = []
    deliver = second.platform.deliver

    async def continues(turn: Turn, context: DeliveryContext) -> None:
        seen.append((context.first_attempt, tuple(context.posted_messages), turn.posted_messages))
        await deliver(turn, context)

    monkeypatch.setattr(second.platform, "deliver", continues)
    assert second.platform.wait_for(1)[0].id == turn
    assert seen == [(False, ("part 1", "part 2"), ("part 1", "part 2"))]


def test_a_lease_lost_during_delivery_is_not_a_delivery_failure(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()

    async def too_late(turn: Turn, context: DeliveryContext) -> None:
        raise LeaseLost

    monkeypatch.setattr(process.platform, "deliver", too_late)
    turn = process.say("hello")
    deadline = time.monotonic() + 20
    while process.stored(turn).state is not TurnState.ANSWERED or process.worker.is_processing(1):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert process.stored(turn).failure is None
