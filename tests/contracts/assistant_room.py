"""A conversation with a backend, as the core keeps one: what the contracts of the assistant talk through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway.errors import AssistantError, RateLimited, ThreadBusy, ThreadLost, Unavailable
from gateway.messages import (
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
from gateway.ports import Assistant, Attachments, History

ATTEMPTS = 12
SHORT = 0.02
"""Seconds, instead of those that an error asks for."""


def attached(name: str, content: bytes = b"", *, media_type: str = "", problem: str = "") -> Attachment:
    return Attachment(File(name, f"pigeon {name}", media_type, len(content)), content, problem)


@dataclass
class Room:
    """A conversation with a backend, kept as the core does: post once, look after trouble, reopen what is lost."""

    assistant: Assistant
    past: list[Exchange] = field(default_factory=list)
    thread: ThreadId | None = None
    moments: list[RunEvent] = field(default_factory=list)
    """What the last call of run or resume yielded."""
    troubles: list[AssistantError] = field(default_factory=list)
    run_id: RunId | None = None
    attached: Sequence[Attachment] = ()
    """What comes with the messages from now on."""
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
        """The reply, however often that has to be tried. ``begun``: an earlier process may have begun with it."""
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
            async for moment in run:
                self.moments.append(moment)
                if isinstance(moment, RunStarted):
                    self.run_id = moment.run_id
                if isinstance(moment, Answered):
                    return moment
        raise AssertionError("it ended without an answer, and without an error")

    def resumed(self, turn: Turn) -> AsyncGenerator[RunEvent, None]:
        assert self.thread is not None
        return self.assistant.resume(turn, self.thread, self.run_id, *self.loaders)

    async def begin(self, text: str) -> None:
        """Let a run begin, and go away as a process does that is killed."""
        turn = self.turn(text)
        async with aclosing(self.assistant.run(turn, await self.open(), *self.loaders)) as run:
            async for moment in run:
                if isinstance(moment, RunStarted):
                    self.run_id = moment.run_id
                    return

    @property
    def loaders(self) -> tuple[History, Attachments]:
        return self.history, self.attachments

    @property
    def answer(self) -> Answered:
        """What the last call came to."""
        assert isinstance(self.moments[-1], Answered)
        return self.moments[-1]

    @property
    def shown(self) -> str:
        return "".join(moment.text for moment in self.moments if isinstance(moment, TextDelta))

    @property
    def tools(self) -> list[ToolCall]:
        return [moment for moment in self.moments if isinstance(moment, ToolCall)]
