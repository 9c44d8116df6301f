"""Contents of files for tests: written, fetched and read in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.coordination.file_spool import FileSpool
from gateway.domain.files import Attachment, Content, File
from gateway.ports.assistant import Assistant
from gateway.ports.spool import Spool

ALL = 2**24
"""More bytes than any other content of a test has."""
MOST_BYTES = 5 * 2**20


@dataclass
class BytesWriter:
    """Implements ``gateway.ports.spool.FileWriter``."""

    data: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        return len(self.data)

    async def write(self, piece: bytes) -> None:
        self.data += piece


@dataclass(frozen=True)
class Fetched:
    """An attachment as it was fetched."""

    file: File
    content: bytes
    problem: str


async def fetched_by(fetch: Callable[[Spool], Awaitable[Sequence[Attachment]]]) -> list[Fetched]:
    """Lets an adapter fetch into a spool, and returns what it fetched."""
    spool = FileSpool().open_turn()
    try:
        return [Fetched(one.file, one.content.head(ALL), one.problem) for one in await fetch(spool)]
    finally:
        spool.close()


async def file_of(assistant: Assistant, file: File) -> bytes:
    """Returns a file that an assistant made."""
    writer = BytesWriter()
    await assistant.fetch_file(file, writer)
    return bytes(writer.data)


async def read_all(content: Content) -> bytes:
    return b"".join([piece async for piece in content.pieces()])


@dataclass(frozen=True)
class LargeContent:
    """A content of 20 MB that takes no memory."""

    piece: bytes = bytes(192 * 1024)
    count: int = 100

    @property
    def size(self) -> int:
        return len(self.piece) * self.count

    def head(self, count: int) -> bytes:
        return self.piece[:count]

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(self.count):
            yield self.piece


@contextmanager
def little_memory() -> Iterator[None]:
    """Checks that the block allocates far less than a LargeContent has."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_BYTES
