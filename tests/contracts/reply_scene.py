"""A message in a fake platform, its turn, and the processes that preview and deliver its reply one after another."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from adapters.base.chat_adapter import ChatAdapter
from gateway.domain.approvals import Approval
from gateway.domain.errors import DeliveryError
from gateway.domain.files import File
from gateway.domain.models import Failure, Message, Turn, TurnState
from gateway.domain.run_events import PreviewEvent, TextDelta
from gateway.ports.token_buckets import Rate
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.platform_faults import PlatformFault
from tests.fakes.simulated_crash import CrashAfterSteps, SimulatedCrash

WAIT_SECONDS = 10.0
MAX_ATTEMPTS = 12

Told = PreviewEvent | Callable[[], Any]
"""What a run shows; or a condition that is waited for."""


class MortalDelivery(FakeDeliveryContext):
    """Dies at a step: one before each save, one after it."""

    def __init__(self, mortal: CrashAfterSteps, **more: Any) -> None:
        super().__init__(**more)
        self._mortal = mortal

    async def save_progress(self, posted_messages: Sequence[str]) -> None:
        if tuple(posted_messages) == self.posted_messages:  # the core saves only what has changed
            return
        self._mortal.step()
        await super().save_progress(posted_messages)
        self._mortal.step()


class ClosedDelivery(FakeDeliveryContext):
    """Has no tokens for calls that do not wait, while it is closed."""

    closed = True

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        await super().acquire(bucket, rate, max_wait=max_wait)
        return max_wait > 0 or not self.closed

    def open(self) -> bool:
        self.closed = False
        return True


class ReplyScene(ABC):
    """Subclass for a platform. The preview is a message that is changed, unless the subclass is told otherwise."""

    POST: ClassVar[str]
    """The methods of the platform's API."""
    UPDATE: ClassVar[str]
    DELETE: ClassVar[str]
    ACTIVITY: ClassVar[str]
    LONG: ClassVar[str]
    """A reply of three messages."""
    REFUSED_CONTENT: ClassVar[PlatformFault]
    REFUSED_FOR_GOOD: ClassVar[PlatformFault]

    turn: Turn
    delivery: FakeDeliveryContext
    replies: ChatAdapter[Any, Any, Any, Any]

    # ------------------------------------------------------------ what the worker does

    async def follow(self, *told: Told) -> None:
        """Previews until nothing follows."""
        await self.replies.stream_preview(self.turn, telling(*told), self.delivery)

    async def deliver(self, turn: Turn) -> int:
        """Delivers as the worker does, but without pauses. Returns how often it was put off."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                await self.replies.deliver(turn, self.delivery)
            except DeliveryError as exc:
                if exc.retry_after is None:
                    raise
            else:
                return attempt
        raise AssertionError(f"not delivered in {MAX_ATTEMPTS} attempts")

    async def restart(self, mortal: CrashAfterSteps | None = None) -> None:
        """Starts another process, which knows what was saved."""
        await self.begin(
            mortal or CrashAfterSteps(), first_attempt=False, posted_messages=self.delivery.posted_messages
        )

    async def lives(self, mortal: CrashAfterSteps, told: Sequence[Told], turn: Turn) -> bool:
        """Lets the first process preview and deliver, unless it dies. Returns whether it lived."""
        await self.begin(mortal)
        try:
            await self.follow(*told)
            await self.deliver(turn)
        except SimulatedCrash:
            return False
        except BaseExceptionGroup as group:
            if group.split(SimulatedCrash)[1] is not None:
                raise
            return False
        return True

    @abstractmethod
    async def begin(self, mortal: CrashAfterSteps, **more: Any) -> None:
        """Starts a process, which may die; ``more``: of its delivery."""

    def answered(self, reply: str, *files: File) -> Turn:
        return replace(self.turn, state=TurnState.ANSWERED, reply=reply, reply_files=files)

    def pushed(self, text: str) -> Turn:
        """Returns a turn of a text that is pushed to where the message is, which it does not answer."""
        found = self.replies.destination(self.turn.message.key)  # type: ignore[attr-defined]  # ``Addressable``
        message = Message(found.key, "push:1", "", address=found.address, caller="push key 1")
        return replace(self.turn, message=message, state=TurnState.ANSWERED, reply=text)

    def failed(self, sentence: str = "The assistant could not answer.") -> Turn:
        return replace(self.turn, state=TurnState.FAILED, failure=Failure("refused", sentence))

    def cancelled(self) -> Turn:
        return replace(self.turn, state=TurnState.CANCELLED, failure=Failure("cancelled", "It was cancelled."))

    # ------------------------------------------------------------ questions

    def question(self, **change: Any) -> Approval:
        """Returns a question about a call, or what became of it."""
        asked = Approval(
            f"appr_{self.turn.id}", self.turn.id, 0, "call_1", "refund", '{"order": "<@U1> **1** ``` `x`"}', ("asker",)
        )
        return replace(asked, **change)

    async def ask(self, approval: Approval, delivery: FakeDeliveryContext) -> None:
        """Shows a question as the worker does, but without pauses. ``delivery``: of the question."""
        for _ in range(MAX_ATTEMPTS):
            try:
                await self.replies.show_approval(self.turn, approval, delivery)
            except DeliveryError as exc:
                if exc.retry_after is None:
                    raise
            else:
                return
        raise AssertionError(f"not shown in {MAX_ATTEMPTS} attempts")

    def presses(self) -> list[str]:
        """Returns what the buttons say that are below our messages; a platform without any has none."""
        return []

    async def previewed(self, text: str = "Some words ") -> None:
        """Leaves a message that shows how the reply begins."""
        await self.follow(TextDelta(text), self.texts)

    # ------------------------------------------------------------ what is posted

    @property
    @abstractmethod
    def faults(self) -> Any:
        """The fake's."""

    @property
    @abstractmethod
    def post_bucket(self) -> str:
        """A rate limit that counts for posts."""

    @abstractmethod
    def texts(self) -> list[str]:
        """Returns the texts of our messages, in order."""

    @abstractmethod
    def files(self) -> list[str]:
        """Returns the names of the files that we sent, in order."""

    @abstractmethod
    def expected(self, reply: str) -> list[str]:
        """Returns the texts that a reply consists of."""

    @abstractmethod
    def plain(self, reply: str) -> str:
        """Returns the text of a short reply in its plainer form."""

    @abstractmethod
    def assert_stands(self, reply: str) -> None:
        """Checks that exactly this reply is posted, in order, and saved."""

    @abstractmethod
    def assert_stopped(self, text: str) -> None:
        """Checks that one message is posted, which shows the text and says that it was stopped."""

    @abstractmethod
    def erase(self, number: int) -> None:
        """Lets a person delete one of our messages."""

    @abstractmethod
    def count(self, method: str) -> int:
        """Returns how often a method was called for this scene."""


async def telling(*told: Told) -> AsyncIterator[PreviewEvent]:
    """Yields what a run shows. Waits for each condition until it returns something truthy."""
    for one in told:
        if callable(one):
            async with asyncio.timeout(WAIT_SECONDS):
                while not one():  # noqa: ASYNC110  # another thread makes it true
                    await asyncio.sleep(0.002)
        else:
            yield one


def deltas(reply: str, size: int = 40) -> list[PreviewEvent]:
    return [TextDelta(reply[start : start + size]) for start in range(0, len(reply), size)]


def a_while(polls: int = 7) -> Told:
    """Returns a condition that is met after long enough for a preview to have done what it can."""
    left = iter(range(polls))
    return lambda: next(left, None) is None
