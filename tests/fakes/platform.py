"""A platform in memory: keeps what it was shown and what was delivered."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from gateway.domain.errors import DeliveryError
from gateway.domain.models import Attachment, ConversationKey, Message, Shown, Turn, TurnId
from gateway.ports.check import Check
from gateway.ports.platform import Outbox, Receipt, Request


@dataclass
class FakePlatform:
    name: str = "fake"
    delivered: list[Turn] = field(default_factory=list)
    shown: dict[TurnId, list[Shown]] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    """Of every message that has files."""
    refusals: list[DeliveryError] = field(default_factory=list)
    attempts: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, request: Request) -> Receipt:
        return Receipt((self.message(request.body.decode()),))

    def message(self, text: str, *, channel: str = "c", message_id: str = "") -> Message:
        return Message(ConversationKey(self.name, channel=channel), message_id or f"{channel}:{text}", text, "ann")

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        async for event in events:
            self.shown.setdefault(turn.id, []).append(event)
            with self._news:
                self._news.notify_all()

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        self.attempts += 1
        if self.refusals:
            raise self.refusals.pop(0)
        with self._news:
            self.delivered.append(turn)
            self._news.notify_all()

    async def fetch(self, turn: Turn) -> Sequence[Attachment]:
        return self.attachments

    async def check(self) -> Sequence[Check]:
        return (Check(self.name, ok=True),)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Turn]:
        """The first ``count`` turns that were delivered."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.delivered) >= count, timeout)
            assert arrived, f"{len(self.delivered)} of {count} turns were delivered in {timeout} s"
            return self.delivered[:count]

    def wait_shown(self, turn: TurnId, timeout: float = 20.0) -> list[Shown]:
        """What a turn has shown, as soon as it is something."""
        with self._news:
            assert self._news.wait_for(lambda: bool(self.shown.get(turn)), timeout)
            return self.shown[turn]
