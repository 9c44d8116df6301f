"""A server that sends exactly the bytes it is given, for responses that no correct server would send."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.fakes.accepting import stop_accepting

KEY = "sk-secret"
"""A key that must not appear in logs or errors."""
CA_FILE = Path(__file__).with_name("tls") / "ca.pem"
"""Of the authority that signed the certificate of a server with TLS."""
PIECE_PAUSE_SECONDS = 0.001
"""Pause between two pieces, so that they arrive separately."""


class RawServer:
    """Responds to each request with the next bytes it was given; counts connections and requests."""

    def __init__(self, *, tls: bool = False) -> None:
        self._tls = _server_context() if tls else None
        self.answers: list[tuple[list[bytes], bool]] = []
        """The pieces to send per request, and whether to close the connection afterwards."""
        self.requests: list[bytes] = []
        self.connections = 0
        self.caller_left = asyncio.Event()
        """Set when a caller has closed its connection."""
        self.port = 0
        self._condition = asyncio.Condition()
        self._serving: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aexit__(self, *exc: object) -> None:
        await stop_accepting(self._listener)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if task := asyncio.current_task():
            self._serving.append(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            self.caller_left.set()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handles one request. Returns whether to keep the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        self.requests.append(head + await reader.readexactly(int(length.partition(b":")[2])))
        async with self._condition:
            self._condition.notify_all()
        pieces, last = self.answers.pop(0)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(PIECE_PAUSE_SECONDS)
        return not last

    async def wait_for_requests(self, count: int = 1) -> None:
        """Waits until ``count`` requests were received."""
        async with self._condition:
            await self._condition.wait_for(lambda: len(self.requests) >= count)

    def add_response(
        self, body: bytes, *, status: str = "200 OK", content_type: str = "application/json", headers: str = ""
    ) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        self.answers.append(([head.encode() + body], False))

    def add_stream(self, *chunks: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        body = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
        self.answers.append(([head, *body, b"0\r\n\r\n"], False))

    def add_partial_stream(self, chunk: bytes, *, hang_up: bool) -> None:
        """Adds a stream that announces 1000 bytes but ends after these."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n"
        self.answers.append(([head + chunk], hang_up))


def _server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CA_FILE.with_name("server.pem"))
    return context
