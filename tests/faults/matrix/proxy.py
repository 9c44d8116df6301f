"""The network between two parties, as far as it can fail: TCP proxies on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.matrix.sync_point import Moment

Target = int | Path
"""A port on loopback, or a Unix socket."""
PIECE = 65_536


class Link:
    """A proxy with a port of its own. Callable from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: Target | None) -> None:
        self.target = target
        """Where new connections lead; None: nowhere yet."""
        self.port = 0
        self._loop = loop
        self._guard = socket.socket()
        """Keeps the port reserved while the proxy does not listen."""
        self._sounding = asyncio.Event()
        self._sounding.set()
        self._ends: set[asyncio.WriteTransport] = set()
        self._sign, self._moment = b"", Moment()

    def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        self._do(self._break())

    def silence(self) -> None:
        """Forwards nothing any more, without closing connections."""
        self._do(self._hush())

    def heal(self) -> None:
        """Ends the fault; data held during a stall arrives late."""
        self._do(self._mend())

    def hold(self, sign: bytes, moment: Moment) -> None:
        """Makes an answer that contains ``pattern`` wait at the sync point."""
        self._sign, self._moment = sign, moment

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    # ------------------------------------------------------------ on the loop

    async def open(self) -> None:
        self._guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._guard.bind(("127.0.0.1", 0))
        self.port = self._guard.getsockname()[1]
        await self._listen()

    async def close(self) -> None:
        await self._break()
        self._sounding.set()
        await asyncio.sleep(0.01)  # lets the aborted connections end
        self._guard.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port, backlog=1024, reuse_port=True)

    async def _break(self) -> None:
        self._server.close()
        for end in self._ends:
            end.abort()

    async def _hush(self) -> None:
        self._sounding.clear()

    async def _mend(self) -> None:
        if not self._server.is_serving():
            await self._listen()
        self._sounding.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer.transport)
        there: asyncio.StreamWriter | None = None
        try:
            await self._sounding.wait()
            answers, there = await self._connect()
            self._ends.add(there.transport)
            asking = asyncio.ensure_future(self._carry(reader, there))
            await self._carry(answers, writer, answers=True)
            asking.cancel()
        except OSError:
            writer.transport.abort()  # nothing listens at the target
        finally:
            for end in filter(None, (writer, there)):
                self._ends.discard(end.transport)
                end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target is None:
            raise ConnectionRefusedError
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target))
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool = False) -> None:
        """Forwards data until the source ends or breaks, and then ends or breaks the sink."""
        try:
            while data := await source.read(PIECE):
                await self._sounding.wait()
                if answers and self._sign and self._sign in data:
                    await asyncio.to_thread(self._moment.reach)
                sink.write(data)
                await sink.drain()
            await self._sounding.wait()
            sink.write_eof()
        except OSError:
            await self._sounding.wait()
            sink.transport.abort()


class Network:
    """The proxies of one scenario, on an event loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._links: list[Link] = []

    def link(self, target: Target | None = None) -> Link:
        link = Link(self._loop, target)
        self._wait(link.open())
        self._links.append(link)
        return link

    def close(self) -> None:
        for link in self._links:
            self._wait(link.close())

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def network() -> Iterator[Network]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = Network(loop)
    try:
        yield made
    finally:
        made.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
