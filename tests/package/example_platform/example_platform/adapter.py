"""The platform: a letter is a request to ``/letterbox``, and its reply is a file in a folder."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway.domain.errors import DeliveryError, MalformedRequest, Unauthenticated
from gateway.domain.models import ConversationKey, Message, Turn
from gateway.domain.run_events import PreviewEvent
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request, Webhook, WebhookResponse

MAX_BODY_BYTES = 64 * 1024


class Letter(BaseModel):
    """The body of a request."""

    id: str
    sender: str
    text: str


class LetterboxAdapter:
    name = "letterbox"

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        self._secret = secret.encode()

    def receive(self, request: Request) -> ParsedUpdate:
        if not hmac.compare_digest(request.headers.get("letterbox-secret", "").encode(), self._secret):
            raise Unauthenticated
        try:
            letter = Letter.model_validate_json(request.body)
        except ValidationError as exc:
            raise MalformedRequest("This is no letter.") from exc
        key = ConversationKey(self.name, channel=letter.sender)
        return ParsedUpdate((Message(key, letter.id, letter.text, letter.sender),))

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        async def handle(request: Request) -> WebhookResponse:
            for message in self.receive(request).messages:
                await inbox.accept(message)
            return WebhookResponse()

        return (Webhook("/letterbox", MAX_BODY_BYTES, handle),)

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        """Returns at once: nobody watches a folder."""

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:  # a file is written whole
        text = turn.failure.user_message if turn.failure else turn.reply
        try:
            await asyncio.to_thread(self._write, turn.id, text)
        except OSError as exc:
            raise DeliveryError(str(exc), retry_after=10.0) from exc

    def _write(self, name: str, text: str) -> None:
        """Writes a reply; again, it changes nothing."""
        unfinished = self._folder / f".{name}"
        unfinished.write_text(text, "utf-8")
        unfinished.replace(self._folder / f"{name}.txt")

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult(self.name, ok=self._folder.is_dir(), detail=str(self._folder)),)
