"""Runs the core of one process between a stub platform and a stub assistant: ``python -m tests.bench.scale_core``.

It reads orders from stdin, one line of JSON each: it opens a gateway and prints ``ready``; after the next line it
accepts its messages and prints ``taken``; after the next one it closes the gateway and prints ``closed``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from gateway import app, assistants, logs
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, RunId, ThreadId, Turn, Usage
from gateway.domain.run_events import PreviewEvent, RunCompleted, RunEvent, RunStarted
from gateway.ports.assistant import AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request
from gateway.ports.spool import FileWriter
from gateway.settings import Settings
from storage.store import SqlStore
from tests.bench.plan import TEXT

PLATFORM = "null"
SENDERS = 50
"""Who send at once, on the event loop as in a web process."""
CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class CoreOrder:
    url: str
    """URL of the database."""
    name: str
    """Name of this process. It has its own conversations; any process may claim their turns."""
    messages: int
    conversations: int
    capacity: int
    run_seconds: float


class NullPlatform:
    """A platform that delivers nowhere."""

    name = PLATFORM

    def receive(self, request: Request) -> ParsedUpdate:
        raise NotImplementedError

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        pass

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:
        pass

    async def check(self) -> Sequence[CheckResult]:
        return ()


class WaitingAssistant:
    """An assistant without memory that answers after so many seconds."""

    name = description = "waiting"
    model = ""
    is_metered = resumes_runs = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:
        return ThreadId("thread")

    async def run(
        self, turn: Turn, thread_id: ThreadId, history: HistoryLoader, attachments: AttachmentLoader = no_attachments
    ) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(RunId(f"run of {turn.id}"))
        if self._seconds:
            await asyncio.sleep(self._seconds)
        yield RunCompleted(f"You said: {turn.message.text}", Usage(10, 10))

    async def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        async for event in self.run(turn, thread_id, history):
            yield event

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> None: ...

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        pass

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        raise NotImplementedError

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        return None

    async def delete_thread(self, thread_id: ThreadId) -> None:
        pass

    async def check(self) -> Sequence[CheckResult]:
        return ()

    async def close(self) -> None:
        pass


def run_order(order: CoreOrder) -> None:
    settings = Settings(_env_file=None, max_runs=order.capacity)  # type: ignore[call-arg]  # pydantic-settings takes it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assistants, "build", lambda *_: WaitingAssistant(order.run_seconds))
        store = SqlStore(order.url, lease_seconds=app.LEASE_SECONDS)
        gateway = app.open_gateway(settings, (NullPlatform(),), store)
    _signal("ready")
    gateway.worker.run_coroutine(_accept_all(gateway.async_inbox, order))
    _signal("taken")
    gateway.close(CLOSE_SECONDS)


async def _accept_all(inbox: AsyncInbox, order: CoreOrder) -> None:
    await asyncio.gather(*(_accept_share(inbox, order, sender) for sender in range(SENDERS)))


async def _accept_share(inbox: AsyncInbox, order: CoreOrder, sender: int) -> None:
    """Accepts what one sender sends, each message once the one before is recorded."""
    for number in range(sender, order.messages, SENDERS):
        channel = f"{order.name}-{number % order.conversations}"
        await inbox.accept(Message(ConversationKey(PLATFORM, channel=channel), f"{order.name}-{number}", TEXT))


def _signal(word: str) -> None:
    """Prints a word and waits for a line on stdin."""
    print(word, flush=True)
    sys.stdin.readline()


def main() -> None:
    logs.configure("WARNING", "text", ())
    print("listening", flush=True)
    for line in sys.stdin:
        run_order(CoreOrder(**json.loads(line)))
        print("closed", flush=True)


if __name__ == "__main__":
    main()
