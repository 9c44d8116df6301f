"""A platform adapter in memory that records previews and delivered turns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.approvals import Approval
from gateway.domain.context import ChatContext
from gateway.domain.errors import DeliveryError, GatewayError, MalformedRequest
from gateway.domain.files import Attachment
from gateway.domain.models import ConversationKey, Message, Turn, TurnId
from gateway.domain.run_events import PreviewEvent
from gateway.domain.shown_arguments import arguments_file
from gateway.ports.check import CheckResult
from gateway.ports.platform import DeliveryContext, Destination, ParsedUpdate, Request, TurnLoader
from gateway.ports.spool import Spool


@dataclass
class FakePlatform:
    name: str = "fake"
    quiet_seconds: float = 0.0
    delivered: list[Turn] = field(default_factory=list)
    shown: dict[TurnId, list[PreviewEvent]] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    """The attachments of every message that has files."""
    posts_files: bool = False
    files_posted: list[bytes] = field(default_factory=list)
    contexts: list[ChatContext | GatewayError] = field(default_factory=list)
    """What is fetched for the next messages, or raised; nothing for the others."""
    lacking: bool = False
    """Whether something is to be fetched for messages that come with a context."""
    refusals: list[DeliveryError] = field(default_factory=list)
    attempts: int = 0
    questions: list[Approval] = field(default_factory=list)
    """What was shown of held calls, each time."""
    question_refusals: list[DeliveryError] = field(default_factory=list)
    looks_for_question: list[bool] = field(default_factory=list)
    """Whether each question, each time, is to be looked for before it is posted."""
    is_saved: threading.Event = field(default_factory=threading.Event)
    """While it is not set and ``holds_back``, what is delivered is posted, but not saved."""
    holds_back: bool = False
    read_of_question: list[bytes] = field(default_factory=list)
    """The content of each file beside a question."""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, request: Request) -> ParsedUpdate:
        return ParsedUpdate((self.message(request.body.decode()),))

    def message(self, text: str, *, channel: str = "c", message_id: str = "") -> Message:
        return Message(ConversationKey(self.name, channel=channel), message_id or f"{channel}:{text}", text, "ann")

    def destination(self, place: ConversationKey) -> Destination:
        if place.channel == "nowhere":
            raise MalformedRequest("`channel` must be somewhere.", code="invalid_field")
        return Destination(replace(place, user=""), {"channel": place.channel})

    def topic_below(self, turn: Turn) -> str:
        return f"below {turn.message.message_id}" if turn.delivered_at is not None else ""

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        async for event in events:
            self.shown.setdefault(turn.id, []).append(event)
            with self._news:
                self._news.notify_all()

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:
        self.attempts += 1
        if self.refusals:
            raise self.refusals.pop(0)
        for file in turn.reply_files if self.posts_files else ():
            async with context.read_file(file) as content:
                self.files_posted.append(content.head(content.size))
        with self._news:
            self.delivered.append(turn)
            self._news.notify_all()
        if self.holds_back:
            await asyncio.to_thread(self.is_saved.wait, 20.0)

    async def show_approval(self, turn: Turn, approval: Approval, context: DeliveryContext) -> None:
        self.looks_for_question.append(not context.first_attempt)
        if self.question_refusals:
            raise self.question_refusals.pop(0)
        assert approval.turn_id == turn.id
        await context.save_posted([f"question {approval.id}"])
        if (file := arguments_file(approval.arguments)) is not None:
            async with context.read_file(file) as content:
                self.read_of_question.append(content.head(content.size))
        with self._news:
            self.questions.append(approval)
            self._news.notify_all()

    def wait_asked(self, count: int, timeout: float = 20.0) -> list[Approval]:
        """Waits until ``count`` questions were shown, or shown again; returns the first ``count``."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.questions) >= count, timeout)
            assert arrived, f"{len(self.questions)} of {count} questions were shown in {timeout} s"
            return self.questions[:count]

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        return self.attachments

    def lacks_context(self, turn: Turn) -> bool:
        return self.lacking

    async def fetch_context(self, turn: Turn, before: TurnLoader, delivery: DeliveryContext) -> ChatContext | None:
        found = self.contexts.pop(0) if self.contexts else None
        if isinstance(found, GatewayError):
            raise found
        return found

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult(self.name, ok=True),)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Turn]:
        """Waits for ``count`` delivered turns; returns the first ``count``."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.delivered) >= count, timeout)
            assert arrived, f"{len(self.delivered)} of {count} turns were delivered in {timeout} s"
            return self.delivered[:count]

    def wait_shown(self, turn: TurnId, timeout: float = 20.0) -> list[PreviewEvent]:
        """Waits for the first preview event of a turn; returns its events so far."""
        with self._news:
            assert self._news.wait_for(lambda: bool(self.shown.get(turn)), timeout)
            return self.shown[turn]
