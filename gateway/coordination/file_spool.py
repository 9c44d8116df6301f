"""Keeps files that pass through the process out of memory, within limits per file, per message and per process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from gateway import logs
from gateway.coordination.byte_budget import ByteBudget
from gateway.coordination.spooled_file import SpooledFile
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Attachment, Content, File
from gateway.ports.spool import Download, FileWriter

CONCURRENT_DOWNLOADS = 3
"""Of one message."""
MAX_WAIT = 120.0
"""Seconds for which a message waits for room; then it goes without its files."""
TOO_LARGE_TOGETHER = "it is too large for one message, or for one message with the files before it"
NO_ROOM = "too many files are being read at the moment"
NO_ROOM_RETRY_SECONDS = 5.0

log = logs.get_logger(__name__)


class FileSpool:
    """One per process. Used on the worker's loop."""

    def __init__(
        self, *, folder: str | None = None, max_bytes: int = 500_000_000, max_message_bytes: int = 50 * 2**20
    ) -> None:
        """``folder``: None for the system's. ``max_bytes``: of all files at a time. No I/O."""
        self.folder = folder
        self.max_message_bytes = max_message_bytes
        self.budget = ByteBudget(max_bytes)

    def open_turn(self) -> TurnSpool:
        """Returns the spool of one turn, which is to be closed."""
        return TurnSpool(self)

    @asynccontextmanager
    async def kept(self, fetch: Callable[[FileWriter], Awaitable[None]], max_bytes: int) -> AsyncIterator[Content]:
        """Gives the content of one file, which ``fetch`` writes, until the context ends.

        Raises DeliveryError with ``retry_after`` when there is no room, and what ``fetch`` raises.
        """
        spool = self.open_turn()
        try:
            await spool.reserve(max_bytes)
            file = spool.add_file(_Limit(max_bytes, _too_large(max_bytes)).charge)
            await fetch(file)
            await file.finish()
            spool.give_back_unused()
            yield file
        finally:
            spool.close()


class TurnSpool:
    """The files of one turn: implements ``gateway.ports.spool.Spool``."""

    def __init__(self, spool: FileSpool) -> None:
        self._spool = spool
        self._files: list[SpooledFile] = []
        self._reserved = 0

    async def receive(self, files: Sequence[File], download: Download, *, max_bytes: int) -> Sequence[Attachment]:
        room = _Limit(self._spool.max_message_bytes, TOO_LARGE_TOGETHER)
        problems = [_problem(file, max_bytes, room) for file in files]
        wanted = [file for file, problem in zip(files, problems, strict=True) if not problem]
        unknown = sum(max_bytes for file in wanted if not file.size)
        try:
            await self.reserve(min(room.taken + unknown, self._spool.max_message_bytes))
        except DeliveryError as exc:
            return [
                Attachment(file, problem=problem or str(exc)) for file, problem in zip(files, problems, strict=True)
            ]
        slots = asyncio.Semaphore(CONCURRENT_DOWNLOADS)

        async def fetch(file: File, problem: str) -> Attachment:
            if problem:
                return Attachment(file, problem=problem)
            async with slots:
                return await self._fetch(file, download, max_bytes, room)

        attachments = await asyncio.gather(*map(fetch, files, problems))
        self.give_back_unused()
        return attachments

    async def reserve(self, count: int) -> None:
        """Waits for room for so many bytes. Raises DeliveryError with ``retry_after`` when there is none for long."""
        try:
            self._reserved += await self._spool.budget.take(count, max_wait=MAX_WAIT)
        except TimeoutError:
            raise DeliveryError(NO_ROOM, retry_after=NO_ROOM_RETRY_SECONDS) from None

    def add_file(self, charge: Callable[[int], None]) -> SpooledFile:
        """Returns a file to write to. ``charge``: see SpooledFile."""
        file = SpooledFile(self._spool.folder, charge)
        self._files.append(file)
        return file

    def give_back_unused(self) -> None:
        """Gives back what was reserved beyond the files that there are."""
        unused = max(self._reserved - sum(file.size for file in self._files), 0)
        self._reserved -= unused
        self._spool.budget.give_back(unused)

    def close(self) -> None:
        """Deletes the files."""
        for file in self._files:
            file.close()
        self._files.clear()
        self.give_back_unused()

    async def _fetch(self, file: File, download: Download, max_bytes: int, room: _Limit) -> Attachment:
        alone = _Limit(max_bytes, _too_large(max_bytes))

        def charge(count: int) -> None:
            alone.charge(count)
            beyond = min(max(alone.taken - file.size, 0), count)
            room.charge(beyond)
            if file.size and beyond:  # it is larger than it said
                self._spool.budget.take_more(beyond)
                self._reserved += beyond

        kept = self.add_file(charge)
        try:
            await download(file, kept)
            await kept.finish()
        except DeliveryError as exc:
            problem = str(exc)
        except Exception:
            log.exception("a file could not be fetched")
            problem = "something went wrong"
        else:
            return Attachment(file, kept)
        kept.close()
        return Attachment(file, problem=problem)


class _Limit:
    """Counts bytes up to a limit."""

    def __init__(self, limit: int, problem: str) -> None:
        self._limit = limit
        self._problem = problem
        self.taken = 0

    def charge(self, count: int) -> None:
        """Raises DeliveryError for more than the limit; then the count stays as it was."""
        if self.taken + count > self._limit:
            raise DeliveryError(self._problem)
        self.taken += count


def _problem(file: File, max_bytes: int, room: _Limit) -> str:
    """Returns why a file is not to be fetched; else takes its place in what one message may bring."""
    if file.size > max_bytes:
        return _too_large(max_bytes)
    try:
        room.charge(file.size)
    except DeliveryError as exc:
        return str(exc)
    return ""


def _too_large(max_bytes: int) -> str:
    return f"it is larger than {max_bytes / 1e6:.3g} MB"
