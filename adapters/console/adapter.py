"""The platform adapter of the console."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from rich.console import Console

from adapters.base import text_input
from adapters.base.language import in_language
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId
from gateway.domain.run_events import PreviewEvent
from gateway.domain.sentences import sentence
from gateway.languages import ENGLISH
from gateway.ports.check import CheckResult
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request
from gateway.web.api.waiting import DeltaBatcher, WaiterRegistry

NAME = "console"
EMPTY = sentence("There is nothing in this message. Write something, or press Enter alone to end.")
SECONDS_BETWEEN_DELTAS = 0.03


class ConsoleAdapter:
    """A typed line is the body of a request; its headers name the thread, the author and the message."""

    name = NAME
    names_assistants = True

    def __init__(self, console: Console, *, streaming: bool, language: str = ENGLISH) -> None:
        """``streaming``: whether a reply is shown while it is written. ``language``: of what the bot itself says."""
        self.language = language
        self.console = console
        self.streaming = streaming
        self.waiters = WaiterRegistry(1)

    def receive(self, request: Request) -> ParsedUpdate:
        try:
            text = request.body.decode()
            thread, message_id = request.headers["thread"], request.headers["message-id"]
        except (UnicodeDecodeError, KeyError) as exc:
            raise MalformedRequest("The line cannot be read: it is not UTF-8, or names no thread.") from exc
        if "\0" in text:
            raise MalformedRequest("A message must not hold NUL characters.")
        if not text.strip():
            raise MalformedRequest(EMPTY, code="empty_message")
        author = request.headers.get("author", "")
        kind = _kind_of(text.strip())
        key, context = ConversationKey(self.name, channel=thread), in_language(None, self.language)
        return ParsedUpdate((Message(key, message_id, text, author, kind=kind, context=context),))

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        pace = DeltaBatcher(partial(self.waiters.publish_preview, turn.id), SECONDS_BETWEEN_DELTAS)
        try:
            async for event in events:
                if self.waiters.has_preview_waiter(turn.id):
                    pace.add(event)
        finally:
            pace.close()

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        """Tells the caller that waits, if any."""
        self.waiters.resolve(turn)

    def notify_resolved(self, turn_id: TurnId) -> None:
        self.waiters.notify(turn_id)

    def drain(self, grace_seconds: float) -> None:
        """Does nothing: whoever waits here ends the process."""

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult(self.name, ok=True, detail=gateway_command("chat")),)


def _kind_of(text: str) -> MessageKind:
    """Returns what a line asks for; but for choices, commands have a slash here."""
    if text_input.CHOICE.fullmatch(text):
        return MessageKind.CHOOSE
    word = text_input.bare_word(text)
    is_handover = word.startswith("/") and word[1:] in text_input.HANDOVER_WORDS
    return text_input.kind_of(word[1:]) if is_handover else MessageKind.PROMPT
