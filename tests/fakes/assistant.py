"""A scripted assistant in memory, for tests of the core that need no HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from gateway.domain.approvals import HeldCall
from gateway.domain.errors import AssistantError, AssistantRefused, ThreadMissing
from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, File
from gateway.domain.models import RunId, ThreadId, Turn, TurnId, Usage
from gateway.domain.run_events import RunCompleted, RunEvent, RunStarted, TextDelta, ToolCall, UsageCounted
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.spool import FileWriter

AssistantStep = RunEvent | AssistantError | asyncio.Event | Callable[[], None]
"""A step of a run: emit an event, fail, wait, or call a function."""


@dataclass
class FakeThread:
    texts: list[str] = field(default_factory=list)
    history: list[Exchange] = field(default_factory=list)
    runs: dict[TurnId, RunId] = field(default_factory=dict)
    replies: dict[TurnId, str] = field(default_factory=dict)


class FakeAssistant:
    """Answers "You said: …" unless a script says otherwise. Posts a message to a thread at most once per turn."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.description = "an assistant in memory"
        self.model = "fake-1"
        self.is_metered = False
        self.resumes_runs = True
        self.usages: dict[RunId, UsageCounted] = {}
        """What it counted for runs that are looked up."""
        self.threads: dict[ThreadId, FakeThread] = {}
        self.scripts: list[list[AssistantStep]] = []
        self.running = 0
        self.most_running = 0
        self.calls: list[str] = []
        self.attached: list[Attachment] = []
        self.files: dict[str, bytes] = {}
        """The content of the files it created, by reference."""
        self.cancelled: list[tuple[ThreadId, RunId | None]] = []
        self.closed = False
        self.tools: dict[str, Callable[[str], str]] = {}
        """What its tools return for their arguments."""
        self.ran: list[tuple[str, str]] = []
        """The calls of its tools that were run, with their arguments."""
        self.asked: list[Turn] = []
        """The turns as it was given them."""
        self.think: Callable[[Turn], asyncio.Event | float | None] = lambda _: None
        self._ids = itertools.count(1)

    def script(self, *steps: AssistantStep) -> None:
        """Makes the next call of ``run`` or ``resume`` perform these steps instead; nothing is posted to the thread."""
        self.scripts.append(list(steps))

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:
        self.calls.append("open_thread")
        thread = ThreadId(f"{self.name}_{next(self._ids)}")
        self.threads[thread] = FakeThread(history=list(history))
        return thread

    async def run(
        self, turn: Turn, thread_id: ThreadId, history: HistoryLoader, attachments: AttachmentLoader = no_attachments
    ) -> AsyncGenerator[RunEvent, None]:
        self.calls.append("run")
        self.attached += await attachments()
        async for event in self._go(turn, thread_id):
            yield event

    async def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        self.calls.append(f"resume {run_id}" if run_id else "resume")
        async for event in self._go(turn, thread_id):
            yield event

    async def run_calls(self, turn: Turn, held: Sequence[HeldCall]) -> AsyncGenerator[ToolCall, None]:
        """Runs tools that people have approved."""
        calls = [each.call for each in held]
        for call in calls:
            yield ToolCall(call.id, call.name, call.arguments)
        for call in calls:
            self.ran.append((call.name, call.arguments))
            yield ToolCall(call.id, call.name, call.arguments, self.tools[call.name](call.arguments), done=True)

    async def _go(self, turn: Turn, thread: ThreadId) -> AsyncGenerator[RunEvent, None]:
        self.asked.append(turn)
        if thread not in self.threads:
            raise ThreadMissing(f"no thread {thread}")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            steps = self.scripts.pop(0) if self.scripts else None
            async for event in self._play(turn, self.threads[thread], steps):
                yield event
        finally:
            self.running -= 1

    async def _play(
        self, turn: Turn, thread: FakeThread, steps: list[AssistantStep] | None
    ) -> AsyncGenerator[RunEvent, None]:
        if steps is None:
            run = self.post(turn, thread)
            pause = self.think(turn)
            yield RunStarted(run)
            await _pause(pause)
            yield TextDelta(thread.replies[turn.id])
            yield RunCompleted(thread.replies[turn.id], Usage(1, 2))
            return
        for step in steps:
            if isinstance(step, AssistantError):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif callable(step):
                step()
            else:
                yield step

    def post(self, turn: Turn, thread: FakeThread) -> RunId:
        """Posts a turn's message unless the thread has it already; returns the run id."""
        if turn.id not in thread.runs:
            thread.texts.append(turn.message.text_with_attachments if turn.message.context else turn.message.text)
            thread.runs[turn.id] = RunId(f"run_{next(self._ids)}")
            thread.replies[turn.id] = f"You said: {turn.message.text}"
        return thread.runs[turn.id]

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        self.cancelled.append((thread_id, run_id))

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> UsageCounted | None:
        self.calls.append(f"run_usage {run_id}")
        return self.usages.get(run_id)

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        if file.reference not in self.files:
            raise AssistantRefused(f"there is no file {file.name}")
        await writer.write(self.files[file.reference])

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        known = self.threads.get(thread_id)
        return None if known is None else tuple(known.history)

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        self.calls.append("remember")
        if thread_id not in self.threads:
            raise ThreadMissing(f"no thread {thread_id}")
        thread = self.threads[thread_id]
        if turn.id not in thread.replies:
            thread.replies[turn.id] = turn.reply
            thread.texts += [each.text for each in before]
            thread.texts.append(f"assistant: {turn.reply}")

    async def delete_thread(self, thread_id: ThreadId) -> None:
        self.threads.pop(thread_id, None)

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult("fake", ok=True),)

    async def close(self) -> None:
        self.closed = True


async def _pause(pause: asyncio.Event | float | None) -> None:
    if isinstance(pause, asyncio.Event):
        await pause.wait()
    elif pause is not None:
        await asyncio.sleep(pause)
