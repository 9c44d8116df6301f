"""Runs the core of one process between a stub platform and a stub assistant: ``python -m tests.bench.scale_core``.

It reads orders from stdin, one line of JSON each: it opens a gateway and prints ``ready``; after the next line it
accepts its messages and prints ``taken``; after the next one it closes the gateway and prints ``closed``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from gateway import app, assistants, logs
from gateway.domain.models import (
    Answered,
    ConversationKey,
    Exchange,
    File,
    Message,
    RunEvent,
    RunId,
    RunStarted,
    Shown,
    ThreadId,
    Turn,
    Usage,
)
from gateway.ports.assistant import Attachments, History, no_attachments
from gateway.ports.check import Check
from gateway.ports.platform import Outbox, Receipt, Request
from gateway.settings import Settings
from storage.store import SqlStore
from tests.bench.plan import TEXT

PLATFORM = "null"
FEEDERS = 8
"""Threads that accept messages, like those of a web server."""
CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class Order:
    url: str
    """URL of the database."""
    name: str
    """Name of this process. It has its own conversations; any process may claim their turns."""
    messages: int
    conversations: int
    room: int
    run_seconds: float


class NullPlatform:
    """A platform that delivers nowhere."""

    name = PLATFORM

    def receive(self, request: Request) -> Receipt:
        raise NotImplementedError

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        pass

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        pass

    async def check(self) -> Sequence[Check]:
        return ()


class WaitingAssistant:
    """An assistant without memory that answers after so many seconds."""

    name = description = "waiting"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def open_thread(self, history: Sequence[Exchange]) -> ThreadId:
        return ThreadId("thread")

    async def run(
        self, turn: Turn, thread: ThreadId, history: History, attachments: Attachments = no_attachments
    ) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(RunId(f"run of {turn.id}"))
        if self._seconds:
            await asyncio.sleep(self._seconds)
        yield Answered(f"You said: {turn.message.text}", Usage(10, 10))

    async def resume(
        self,
        turn: Turn,
        thread: ThreadId,
        run_id: RunId | None,
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        async for event in self.run(turn, thread, history):
            yield event

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:
        pass

    async def fetch(self, file: File) -> bytes:
        raise NotImplementedError

    async def recall(self, thread: ThreadId) -> Sequence[Exchange] | None:
        return None

    async def forget(self, thread: ThreadId) -> None:
        pass

    async def check(self) -> Sequence[Check]:
        return ()

    async def close(self) -> None:
        pass


def carry_out(order: Order) -> None:
    settings = Settings(_env_file=None, max_runs=order.room)  # type: ignore[call-arg]  # pydantic-settings takes it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assistants, "build", lambda *_: WaitingAssistant(order.run_seconds))
        store = SqlStore(order.url, lease_seconds=app.LEASE_SECONDS)
        gateway = app.open_gateway(settings, (NullPlatform(),), store)
    _tell("ready")
    with ThreadPoolExecutor(FEEDERS) as feeders:
        for _ in feeders.map(lambda number: _feed(gateway, order, number), range(FEEDERS)):
            pass
    _tell("taken")
    gateway.close(CLOSE_SECONDS)


def _feed(gateway: app.Gateway, order: Order, feeder: int) -> None:
    """Accepts this thread's share of the messages, in conversations that no other thread uses."""
    for number in range(feeder, order.messages, FEEDERS):
        channel = f"{order.name}-{number % order.conversations}"
        gateway.inbox.accept(Message(ConversationKey(PLATFORM, channel=channel), f"{order.name}-{number}", TEXT))


def _tell(word: str) -> None:
    """Prints a word and waits for a line on stdin."""
    print(word, flush=True)
    sys.stdin.readline()


def main() -> None:
    logs.configure("WARNING", "text", ())
    print("listening", flush=True)
    for line in sys.stdin:
        carry_out(Order(**json.loads(line)))
        print("closed", flush=True)


if __name__ == "__main__":
    main()
