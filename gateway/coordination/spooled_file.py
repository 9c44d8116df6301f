"""The content of one file on its way through the process: on disk, unless it is small."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable

from gateway import logs
from gateway.domain.errors import DeliveryError

PIECE_BYTES = 3 * 64 * 1024
"""How much is read or written at a time; three bytes become four characters of base64, so pieces need no padding."""
DISK_RETRY_SECONDS = 60.0
"""After which a full disk may have room again."""

log = logs.get_logger(__name__)


class SpooledFile:
    """Takes the content of a file, and gives it as often as needed: FileWriter, then Content.

    The file on disk has no name, so nothing of it is left when the process dies.
    """

    def __init__(self, folder: str | None, charge: Callable[[int], None]) -> None:
        """``folder``: None for the system's. ``charge``: called with the count of each piece; may raise. No I/O."""
        self._folder = folder
        self._charge = charge
        self._memory = bytearray()
        self._file: io.FileIO | None = None
        self._size = 0
        self._closed = False

    @property
    def size(self) -> int:
        return self._size

    async def write(self, piece: bytes) -> None:
        """Raises DeliveryError when the disk is full, and what ``charge`` raises."""
        self._charge(len(piece))
        self._size += len(piece)
        self._memory += piece
        if len(self._memory) >= PIECE_BYTES:
            await self._flush()

    async def finish(self) -> None:
        """Ends the writing. Raises DeliveryError when the disk is full."""
        if self._file is not None:
            await self._flush()

    def head(self, count: int) -> bytes:
        if self._file is None:
            return bytes(self._memory[:count])
        return os.pread(self._file.fileno(), count, 0)

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._file is None:
            if self._memory:
                yield bytes(self._memory)
            return
        for offset in range(0, self._size, PIECE_BYTES):
            yield await asyncio.to_thread(self._read, offset)

    def close(self) -> None:
        """Deletes the content."""
        self._closed = True
        self._size = 0
        self._memory.clear()
        if self._file is not None:
            self._file.close()

    async def _flush(self) -> None:
        piece, self._memory = self._memory, bytearray()
        try:
            await asyncio.to_thread(self._append, piece)
        except OSError as exc:
            log.exception("a file cannot be kept in the spool folder")
            raise DeliveryError("there is no room for it on this machine", retry_after=DISK_RETRY_SECONDS) from exc

    def _append(self, piece: bytearray) -> None:
        if self._closed:  # the turn was cancelled meanwhile
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115  # closed with this
        assert self._file is not None  # noqa: S101  # for mypy
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _read(self, offset: int) -> bytes:
        assert self._file is not None  # noqa: S101  # the caller's condition
        return os.pread(self._file.fileno(), PIECE_BYTES, offset)
