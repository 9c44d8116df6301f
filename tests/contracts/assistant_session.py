"""A conversation with a backend, run as the core does; used by the contract tests of the assistant port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway.domain.errors import AssistantError, RateLimited, ThreadBusy, ThreadLost, Unavailable
from gateway.domain.models import (
    Answered,
    Attachment,
    ConversationKey,
    Exchange,
    File,
    Message,
    RunEvent,
    RunId,
    RunStarted,
    TextDelta,
    ThreadId,
    ToolCall,
    Turn,
    TurnId,
    TurnState,
)
from gateway.ports.assistant import Assistant, Attachments, History

ATTEMPTS = 12
SHORT = 0.02
"""Seconds to wait before a retry, instead of the error's ``retry_after``."""


def attached(name: str, content: bytes = b"", *, media_type: str = "", problem: str = "") -> Attachment:
    return Attachment(File(name, f"pigeon {name}", media_type, len(content)), content, problem)


@dataclass
class Room:
    """A conversation with a backend, run as the core does: posts once, resumes after errors, reopens lost threads."""

    assistant: Assistant
    past: list[Exchange] = field(default_factory=list)
    thread: ThreadId | None = None
    moments: list[RunEvent] = field(default_factory=list)
    """The events of the last call of run or resume."""
    troubles: list[AssistantError] = field(default_factory=list)
    run_id: RunId | None = None
    attached: Sequence[Attachment] = ()
    """Attachments of the next messages."""
    fetches: int = 0

    async def open(self) -> ThreadId:
        if self.thread is None:
            self.thread = await self.assistant.open_thread(tuple(self.past))
        return self.thread

    async def history(self) -> Sequence[Exchange]:
        return tuple(self.past)

    async def attachments(self) -> Sequence[Attachment]:
        self.fetches += 1
        return self.attached

    def turn(self, text: str) -> Turn:
        number = len(self.past) + 1
        files = tuple(one.file for one in self.attached)
        message = Message(ConversationKey("test"), f"m{number}", text, files=files)
        return Turn(TurnId(f"turn_{number}"), 1, number, message, TurnState.RUNNING)

    async def say(self, text: str, *, begun: bool = False) -> str:
        """Sends a message, with retries. Returns the reply.

        ``may_have_begun``: an earlier process may have started the turn.
        """
        turn = self.turn(text)
        for _ in range(ATTEMPTS):
            posting = not begun
            begun = True
            try:
                answer = await self.attempt(turn, posting=posting)
            except ThreadLost as exc:
                self.troubles.append(exc)
                self.thread, self.run_id, begun = None, None, False
            except (RateLimited, ThreadBusy) as exc:
                self.troubles.append(exc)
                begun = not posting or self.run_id is not None
                self.run_id = None
                await asyncio.sleep(SHORT)
            except Unavailable as exc:
                self.troubles.append(exc)
                await asyncio.sleep(SHORT)
            else:
                self.past.append(Exchange(turn.message.said, answer.text))
                self.run_id = None
                return answer.text
        raise AssertionError(f"no answer in {ATTEMPTS} attempts: {self.troubles}")

    async def attempt(self, turn: Turn, *, posting: bool) -> Answered:
        thread = await self.open()
        call = self.assistant.run(turn, thread, *self.loaders) if posting else self.resumed(turn)
        self.moments = []
        async with aclosing(call) as run:
            async for event in run:
                self.moments.append(event)
                if isinstance(event, RunStarted):
                    self.run_id = event.run_id
                if isinstance(event, Answered):
                    return event
        raise AssertionError("the run ended without an answer and without an error")

    def resumed(self, turn: Turn) -> AsyncGenerator[RunEvent, None]:
        assert self.thread is not None
        return self.assistant.resume(turn, self.thread, self.run_id, *self.loaders)

    async def begin(self, text: str) -> None:
        """Starts a run and abandons it, as a killed process does."""
        turn = self.turn(text)
        async with aclosing(self.assistant.run(turn, await self.open(), *self.loaders)) as run:
            async for event in run:
                if isinstance(event, RunStarted):
                    self.run_id = event.run_id
                    return

    @property
    def loaders(self) -> tuple[History, Attachments]:
        return self.history, self.attachments

    @property
    def answer(self) -> Answered:
        """The result of the last call."""
        assert isinstance(self.moments[-1], Answered)
        return self.moments[-1]

    @property
    def shown(self) -> str:
        return "".join(event.text for event in self.moments if isinstance(event, TextDelta))

    @property
    def tools(self) -> list[ToolCall]:
        return [event for event in self.moments if isinstance(event, ToolCall)]
