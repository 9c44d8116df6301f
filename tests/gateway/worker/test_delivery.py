"""How the engine brings outcomes to a platform: put off, refused, gone on with by another process."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.domain.errors import DeliveryError, LeaseLost
from gateway.domain.models import Turn, TurnState
from gateway.ports.platform import Outbox
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start


def test_a_delivery_that_is_put_off_is_tried_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.turn_processor.DELIVERY_PAUSES", (0.0, 0.0))
    process = start()
    process.platform.refusals = [DeliveryError("slow down", retry_after=0.0)] * 20
    process.say("hello")
    process.platform.wait_for(1)
    assert process.platform.attempts == 21


@pytest.mark.parametrize("refusal", [DeliveryError("gone"), DeliveryError("slow", retry_after=0.0)])
def test_a_reply_that_the_platform_will_not_take_is_kept_with_the_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch, refusal: DeliveryError
) -> None:
    monkeypatch.setattr("gateway.worker.turn_processor.DELIVERY_PATIENCE", -1.0)
    process = start()
    process.platform.refusals = [refusal]
    lost = process.say("hello")
    process.say("again")
    process.platform.wait_for(1)
    stored = process.inbox.turn(lost)
    assert stored.state is TurnState.FAILED
    assert stored.reply == "You said: hello"
    assert stored.failure is not None
    assert (stored.failure.code, stored.failure.detail) == ("undeliverable", str(refusal))


def test_what_was_noted_of_a_delivery_is_there_for_whoever_goes_on_with_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(owner="one")
    begun = threading.Event()

    async def never_ends(turn: Turn, outbox: Outbox) -> None:
        assert (outbox.fresh, outbox.parts) == (True, ())
        await outbox.note(["part 1"])
        await outbox.note(["part 1", "part 2"])
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(first.platform, "deliver", never_ends)
    turn = first.say("hello")
    assert begun.wait(20)
    first.stop(grace=0.0)
    second = start(owner="two")
    seen: list[tuple[bool, tuple[str, ...], tuple[str, ...]]] = []
    deliver = second.platform.deliver

    async def goes_on(turn: Turn, outbox: Outbox) -> None:
        seen.append((outbox.fresh, tuple(outbox.parts), turn.parts))
        await deliver(turn, outbox)

    monkeypatch.setattr(second.platform, "deliver", goes_on)
    assert second.platform.wait_for(1)[0].id == turn
    assert seen == [(False, ("part 1", "part 2"), ("part 1", "part 2"))]


def test_who_lost_the_lease_while_delivering_says_nothing_more(
    start: Start, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()

    async def too_late(turn: Turn, outbox: Outbox) -> None:
        raise LeaseLost

    monkeypatch.setattr(process.platform, "deliver", too_late)
    turn = process.say("hello")
    deadline = time.monotonic() + 20
    while process.inbox.turn(turn).state is not TurnState.ANSWERED or process.engine.holds(1):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert process.inbox.turn(turn).failure is None
