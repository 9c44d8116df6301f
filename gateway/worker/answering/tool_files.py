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
from gateway.domain.files import Attachment, File
from gateway.domain.models import Turn
from gateway.domain.run_events import ToolCall
from gateway.domain.sentences import sentence
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

    async def fetch(self, file: File, writer: FileWriter) -> None:
        """Writes the content of a file. Raises AssistantRefused (``file_gone``) if it is deleted."""
        content = await self._in_thread(partial(self._store.content, file.reference))
        if content is None:
            raise AssistantRefused(f"{file.name} is deleted", code="file_gone", user_message=FILE_GONE)
        await writer.write(content)

    def kept_from(self, run: RunTools) -> Callable[[Turn, Sequence[HeldCall]], AsyncGenerator[ToolCall, None]]:
        """Returns what runs tools that people have approved, and keeps the files that these return."""

        async def run_calls(turn: Turn, calls: Sequence[HeldCall]) -> AsyncGenerator[ToolCall, None]:
            async with aclosing(run(calls)) as events:
                async for event in events:
                    if event.files:
                        await self.keep(turn, event.files)
                    yield replace(event, files=())

        return run_calls

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Calls the store in a thread, and again until the database is available."""
        once = partial(in_thread, self._threads, work)
        return await retry(once, "database unavailable; retrying", BACKOFF, retried=StoreUnavailable)


def is_kept(file: File) -> bool:
    """Returns whether a file of a reply is from a tool. The others are at the assistant's server."""
    return file.reference.startswith(PREFIX)


def _reference(turn: Turn, file: File, content: bytes) -> str:
    """Returns the same for the same file of the same turn, so that a repeated run does not store it again."""
    digest = hashlib.sha256(f"{turn.id}\0{file.name}\0".encode(errors="replace") + content)
    return PREFIX + digest.hexdigest()[:40]
