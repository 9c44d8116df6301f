"""A conversation with a backend, run as the core does; used by the contract tests of the assistant port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway.domain.context import ChatContext
from gateway.domain.errors import (
    AssistantError,
    AssistantRateLimited,
    AssistantUnavailable,
    ThreadBusy,
    ThreadMissing,
)
from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ConversationKey, Message, RunId, ThreadId, Turn, TurnId, TurnState
from gateway.domain.run_events import RunCompleted, RunEvent, RunStarted, TextDelta, ToolCall
from gateway.domain.turn_options import TurnOptions
from gateway.ports.assistant import Assistant, AttachmentLoader, HistoryLoader

ATTEMPTS = 12
RETRY_SECONDS = 0.02
"""Seconds to wait before a retry, instead of the error's ``retry_after``."""


def make_attachment(name: str, content: bytes = b"", *, media_type: str = "", problem: str = "") -> Attachment:
    return Attachment(File(name, f"pigeon {name}", media_type, len(content)), BytesContent(content), problem)


@dataclass
class AssistantSession:
    """A conversation with a backend, run as the core does: posts once, resumes after errors, reopens lost threads."""

    assistant: Assistant
    exchanges: list[Exchange] = field(default_factory=list)
    thread_id: ThreadId | None = None
    events: list[RunEvent] = field(default_factory=list)
    """The events of the last call of run or resume."""
    errors: list[AssistantError] = field(default_factory=list)
    run_id: RunId | None = None
    attachments_to_send: Sequence[Attachment] = ()
    """Attachments of the next messages."""
    attachment_loads: int = 0
    context: ChatContext | None = None
    """Of the next messages."""
    options: TurnOptions | None = None
    """Of the next messages."""

    async def open_thread(self) -> ThreadId:
        if self.thread_id is None:
            self.thread_id = await self.assistant.create_thread(tuple(self.exchanges))
        return self.thread_id

    async def history(self) -> Sequence[Exchange]:
        return tuple(self.exchanges)

    async def attachments(self) -> Sequence[Attachment]:
        self.attachment_loads += 1
        return self.attachments_to_send

    def make_turn(self, text: str) -> Turn:
        number = len(self.exchanges) + 1
        files = tuple(one.file for one in self.attachments_to_send)
        message = Message(
            ConversationKey("test"), f"m{number}", text, files=files, context=self.context, options=self.options
        )
        return Turn(TurnId(f"turn_{number}"), 1, number, message, TurnState.RUNNING)

    async def say(self, text: str, *, may_have_begun: bool = False) -> str:
        """Sends a message, with retries. Returns the reply.

        ``may_have_begun``: an earlier process may have started the turn.
        """
        turn = self.make_turn(text)
        for _ in range(ATTEMPTS):
            posting = not may_have_begun
            may_have_begun = True
            try:
                answer = await self.attempt(turn, first=posting)
            except ThreadMissing as exc:
                self.errors.append(exc)
                self.thread_id, self.run_id, may_have_begun = None, None, False
            except (AssistantRateLimited, ThreadBusy) as exc:
                self.errors.append(exc)
                may_have_begun = not posting or self.run_id is not None
                self.run_id = None
                await asyncio.sleep(RETRY_SECONDS)
            except AssistantUnavailable as exc:
                self.errors.append(exc)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                said = turn.message.text_with_attachments
                speaker, outputs = turn.message.speaker, turn.options.outputs
                self.exchanges.append(Exchange(said, answer.text, "", speaker, outputs, answer.calls, answer.returned))
                self.run_id = None
                return answer.text
        raise AssertionError(f"no answer in {ATTEMPTS} attempts: {self.errors}")

    async def attempt(self, turn: Turn, *, first: bool) -> RunCompleted:
        thread = await self.open_thread()
        call = self.assistant.run(turn, thread, *self.loaders) if first else self.resume(turn)
        self.events = []
        async with aclosing(call) as run:
            async for event in run:
                self.events.append(event)
                if isinstance(event, RunStarted):
                    self.run_id = event.run_id
                if isinstance(event, RunCompleted):
                    return event
        raise AssertionError("the run ended without an answer and without an error")

    def resume(self, turn: Turn) -> AsyncGenerator[RunEvent, None]:
        assert self.thread_id is not None
        return self.assistant.resume(turn, self.thread_id, self.run_id, *self.loaders)

    async def begin_and_abandon(self, text: str) -> None:
        """Starts a run and abandons it, as a killed process does."""
        turn = self.make_turn(text)
        async with aclosing(self.assistant.run(turn, await self.open_thread(), *self.loaders)) as run:
            async for event in run:
                if isinstance(event, RunStarted):
                    self.run_id = event.run_id
                    return

    @property
    def loaders(self) -> tuple[HistoryLoader, AttachmentLoader]:
        return self.history, self.attachments

    @property
    def answer(self) -> RunCompleted:
        """The result of the last call."""
        assert isinstance(self.events[-1], RunCompleted)
        return self.events[-1]

    @property
    def shown(self) -> list[TextDelta]:
        return [event for event in self.events if isinstance(event, TextDelta)]

    @property
    def shown_text(self) -> str:
        return "".join(event.text for event in self.shown)

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [event for event in self.events if isinstance(event, ToolCall)]
