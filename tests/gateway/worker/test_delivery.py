"""Delivery by the worker: deferred, rejected, continued by another process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from gateway.coordination.retry import Backoff
from gateway.domain.errors import DeliveryError, LeaseLost
from gateway.domain.files import File
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.ports.platform import DeliveryContext
from gateway.ports.token_buckets import Rate
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess
from tests.waiting import until

Deliver = Callable[[Turn, DeliveryContext], Awaitable[None]]


def test_a_deferred_delivery_is_retried(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.delivering.turn_delivery.DELIVERY_BACKOFF", Backoff(0.0, 0.0))
    process = start()
    process.platform.refusals = [DeliveryError("slow down", retry_after=0.0)] * 20
    process.say("hello")
    process.platform.wait_for(1)
    assert process.platform.attempts == 21


@pytest.mark.parametrize("refusal", [DeliveryError("gone"), DeliveryError("slow", retry_after=0.0)])
def test_a_reply_that_the_platform_rejects_is_stored_with_the_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch, refusal: DeliveryError
) -> None:
    monkeypatch.setattr("gateway.worker.delivering.turn_delivery.DELIVERY_GIVE_UP_SECONDS", -1.0)
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
    until(lambda: process.stored(turn).state is TurnState.ANSWERED and not process.worker.is_processing(1))
    assert process.stored(turn).failure is None


NO_LIMIT = Rate(0.0)


class TestPostedMessages:
    """When what an adapter has posted is committed."""

    @pytest.fixture
    def process(self, start: Start) -> WorkerProcess:
        return start(owner="one")

    def saved(self, process: WorkerProcess, turn: Turn) -> tuple[str, ...]:
        return process.stored(turn.id).posted_messages

    def deliver_by(self, process: WorkerProcess, deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> TurnId:
        """Delivers a reply by ``deliver``; returns when the process has stopped."""
        delivered = process.platform.deliver

        async def both(turn: Turn, context: DeliveryContext) -> None:
            await deliver(turn, context)
            await delivered(turn, context)

        monkeypatch.setattr(process.platform, "deliver", both)
        turn = process.say("hello")
        process.platform.wait_for(1)
        process.stop()
        return turn

    def test_the_last_one_is_saved_with_the_finish(
        self, process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, ...]] = []

        async def deliver(turn: Turn, context: DeliveryContext) -> None:
            await context.save_posted(["1"])
            seen.extend([context.posted_messages, self.saved(process, turn)])

        turn = self.deliver_by(process, deliver, monkeypatch)
        stored = process.stored(turn)
        assert seen == [("1",), ()]
        assert (stored.state, stored.posted_messages) == (TurnState.DELIVERED, ("1",))

    def test_earlier_ones_are_saved_before_the_next_token_and_the_next_file(
        self, process: WorkerProcess, assistant: FakeAssistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, ...]] = []
        assistant.files = {"F1": b"x"}

        async def deliver(turn: Turn, context: DeliveryContext) -> None:
            await context.save_posted(["1"])
            await context.acquire("bucket", NO_LIMIT, max_wait=1.0)
            seen.append(self.saved(process, turn))
            await context.save_posted(["1", "2"])
            async with context.read_file(File("a", "F1")) as content:
                assert content.head(9) == b"x"
                seen.append(self.saved(process, turn))

        self.deliver_by(process, deliver, monkeypatch)
        assert seen == [("1",), ("1", "2")]

    def test_they_are_saved_before_the_next_attempt(
        self, process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.worker.delivering.turn_delivery.DELIVERY_BACKOFF", Backoff(0.0, 0.0))
        seen: list[tuple[str, ...]] = []

        async def deliver(turn: Turn, context: DeliveryContext) -> None:
            seen.append(self.saved(process, turn))
            await context.save_posted(["1"])
            if len(seen) == 1:
                raise DeliveryError("slow down", retry_after=0.0)

        self.deliver_by(process, deliver, monkeypatch)
        assert seen == [(), ("1",)]

    def test_they_are_saved_when_the_process_stops(
        self, process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        posted = threading.Event()

        async def never_ends(turn: Turn, context: DeliveryContext) -> None:
            await context.save_posted(["1"])
            posted.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(process.platform, "deliver", never_ends)
        turn = process.say("hello")
        assert posted.wait(20)
        process.stop(grace=0.0)
        assert process.stored(turn).posted_messages == ("1",)

    def test_those_of_a_preview_are_saved_at_once(
        self, process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, ...]] = []

        async def preview(turn: Turn, events: object, context: DeliveryContext) -> None:
            await context.save_posted(["1"])
            seen.append(self.saved(process, turn))

        monkeypatch.setattr(process.platform, "stream_preview", preview)
        process.say("hello")
        process.platform.wait_for(1)
        assert seen == [("1",)]
