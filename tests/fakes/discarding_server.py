"""A server that reads requests of any size without keeping them, and gives each the same answer."""

from __future__ import annotations

import asyncio
from typing import Self

from tests.fakes.accepting import stop_accepting

PIECE_BYTES = 2**16


class DiscardingServer:
    """Counts the bytes of the bodies that it received."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.received = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await stop_accepting(self._listener)
        await self._listener.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        left = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        while left:
            piece = await reader.read(min(left, PIECE_BYTES))
            left -= len(piece)
            self.received += len(piece)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(self._answer), self._answer))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
