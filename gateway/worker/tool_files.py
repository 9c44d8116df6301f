"""Files that tools returned for the reply: kept until it is delivered, as a crash may come between the two."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from gateway.coordination.async_store import BACKOFF
from gateway.coordination.retry import retry
from gateway.coordination.threads import Threads, in_thread
from gateway.domain.approvals import HeldCall
from gateway.domain.errors import AssistantRefused, StoreUnavailable
from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, File
from gateway.domain.models import RunId, ThreadId, Turn
from gateway.domain.run_events import RunCompleted, RunEvent, ToolCall, UsageCounted
from gateway.domain.sentences import sentence
from gateway.ports.assistant import Assistant, AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.check import CheckResult
from gateway.ports.server_objects import HasServerObjects
from gateway.ports.spool import FileWriter
from gateway.ports.tool_files import ToolFiles

T = TypeVar("T")

RunTools = Callable[[Sequence[HeldCall]], AsyncGenerator[ToolCall, None]]
"""Runs held calls of tools, all at once: yields each when it starts, and with its output when it is done."""

PREFIX = "tool "
"""Of the references of these files."""
MAX_FILES = 10
"""Of one turn; later ones are dropped, as a model that takes pictures all day would otherwise post them all."""
FILE_GONE = sentence("A file that a tool made is no longer available.")


class KeptFiles:
    """The files that tools returned. Used on the worker's loop only."""

    def __init__(self, store: ToolFiles, threads: Threads) -> None:
        self._store = store
        self._threads = threads

    async def keep(self, turn: Turn, files: Sequence[Attachment]) -> None:
        """Stores files; one that the turn has already is stored once."""
        kept = len(await self.of_turn(turn))
        for each in files[: max(MAX_FILES - kept, 0)]:
            content = b"".join([piece async for piece in each.content.pieces()])
            named = File(each.file.name, _reference(turn, each.file, content), each.file.media_type, len(content))
            await self._in_thread(partial(self._store.keep, turn.id, named, content))

    async def of_turn(self, turn: Turn) -> Sequence[File]:
        return await self._in_thread(partial(self._store.of_turn, turn.id))

    async def content(self, file: File) -> bytes | None:
        """Returns the content of a file; None if it is deleted."""
        return await self._in_thread(partial(self._store.content, file.reference))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Calls the store in a thread, and again until the database is available."""
        once = partial(in_thread, self._threads, work)
        return await retry(once, "database unavailable; retrying", BACKOFF, retried=StoreUnavailable)


class AssistantWithToolFiles:
    """Implements Assistant: as another one does, and its replies have the files that tools returned for them."""

    def __init__(
        self,
        assistant: Assistant,
        files: KeptFiles,
        on_close: Callable[[], None] = lambda: None,
        *,
        has_tools: bool = True,
    ) -> None:
        """``on_close``: called when it is closed. ``has_tools``: whether it calls tools, as only these return files."""
        self.name = assistant.name
        self.description = assistant.description
        self.model = assistant.model
        self.is_metered = assistant.is_metered
        self.server_objects = assistant.server_objects if isinstance(assistant, HasServerObjects) else None
        self.resumes_runs = assistant.resumes_runs
        self._assistant = assistant
        self._files = files
        self._on_close = on_close
        self._has_tools = has_tools

    # ------------------------------------------------------------ runs

    def run(
        self, turn: Turn, thread_id: ThreadId, history: HistoryLoader, attachments: AttachmentLoader = no_attachments
    ) -> AsyncGenerator[RunEvent, None]:
        events = self._assistant.run(turn, thread_id, history, attachments)
        if self._has_tools or turn.rounds:
            return self._with_files(turn, events, may_have_files=bool(turn.rounds))
        return events

    def resume(
        self,
        turn: Turn,
        thread_id: ThreadId,
        run_id: RunId | None,
        history: HistoryLoader,
        attachments: AttachmentLoader = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        events = self._assistant.resume(turn, thread_id, run_id, history, attachments)
        return self._with_files(turn, events, may_have_files=True)

    async def _with_files(
        self, turn: Turn, events: AsyncGenerator[RunEvent, None], *, may_have_files: bool
    ) -> AsyncGenerator[RunEvent, None]:
        """Yields the events, without the files of tools, which previews do not show, but with those of the reply.

        ``may_have_files``: whether an earlier attempt may have kept some.
        """
        async with aclosing(events):
            async for event in events:
                match event:
                    case ToolCall() if event.files:
                        may_have_files = True
                        await self._files.keep(turn, event.files)
                        yield replace(event, files=())
                    case RunCompleted() if may_have_files:
                        yield replace(event, files=(*event.files, *await self._files.of_turn(turn)))
                    case _:
                        yield event

    def run_calls(self, run: RunTools) -> Callable[[Turn, Sequence[HeldCall]], AsyncGenerator[ToolCall, None]]:
        """Returns what runs tools that people have approved, and keeps the files that these return."""

        async def run_calls(turn: Turn, calls: Sequence[HeldCall]) -> AsyncGenerator[ToolCall, None]:
            async with aclosing(run(calls)) as events:
                async for event in events:
                    if event.files:
                        await self._files.keep(turn, event.files)
                    yield replace(event, files=())

        return run_calls

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        if not file.reference.startswith(PREFIX):
            await self._assistant.fetch_file(file, writer)
            return
        content = await self._files.content(file)
        if content is None:
            raise AssistantRefused(f"{file.name} is deleted", code="file_gone", user_message=FILE_GONE)
        await writer.write(content)

    # ------------------------------------------------------------ what is the other assistant's alone

    async def create_thread(self, history: Sequence[Exchange], *, is_kept: bool = True) -> ThreadId:
        return await self._assistant.create_thread(history, is_kept=is_kept)

    async def cancel_run(self, thread_id: ThreadId, run_id: RunId | None) -> None:
        await self._assistant.cancel_run(thread_id, run_id)

    async def run_usage(self, thread_id: ThreadId, run_id: RunId) -> UsageCounted | None:
        return await self._assistant.run_usage(thread_id, run_id)

    async def import_history(self, thread_id: ThreadId) -> Sequence[Exchange] | None:
        return await self._assistant.import_history(thread_id)

    async def remember(self, turn: Turn, thread_id: ThreadId, before: Sequence[Exchange] = ()) -> None:
        await self._assistant.remember(turn, thread_id, before)

    async def delete_thread(self, thread_id: ThreadId) -> None:
        await self._assistant.delete_thread(thread_id)

    async def check(self) -> Sequence[CheckResult]:
        return await self._assistant.check()

    async def close(self) -> None:
        await self._assistant.close()
        self._on_close()


def _reference(turn: Turn, file: File, content: bytes) -> str:
    """Returns the same for the same file of the same turn, so that a repeated run does not store it again."""
    digest = hashlib.sha256(f"{turn.id}\0{file.name}\0".encode(errors="replace") + content)
    return PREFIX + digest.hexdigest()[:40]
