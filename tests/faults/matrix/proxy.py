"""The network between two parties, as far as it can fail: TCP proxies on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.accepting import stop_accepting
from tests.faults.matrix.sync_point import SyncPoint

ProxyTarget = int | Path
"""A port on loopback, or a Unix socket."""
CHUNK_BYTES = 65_536


class TcpProxy:
    """A proxy with a port of its own. Callable from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: ProxyTarget | None) -> None:
        self.target = target
        """Where new connections lead; None: nowhere yet."""
        self.port = 0
        self._loop = loop
        self._port_guard = socket.socket()
        """Keeps the port reserved while the proxy does not listen."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._hold_pattern, self._hold_sync = b"", SyncPoint()

    def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        self._run_on_loop(self._cut())

    def stall(self) -> None:
        """Forwards nothing any more, without closing connections."""
        self._run_on_loop(self._stall())

    def restore(self) -> None:
        """Ends the fault; data held during a stall arrives late."""
        self._run_on_loop(self._restore())

    def hold_matching(self, pattern: bytes, sync: SyncPoint) -> None:
        """Makes an answer that contains ``pattern`` wait at the sync point."""
        self._hold_pattern, self._hold_sync = pattern, sync

    def _run_on_loop(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    # ------------------------------------------------------------ on the loop

    async def open(self) -> None:
        self._port_guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port_guard.bind(("127.0.0.1", 0))
        self.port = self._port_guard.getsockname()[1]
        await self._listen()

    async def close(self) -> None:
        await self._cut()
        self._flowing.set()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0.01)  # lets the aborted connections end
        self._port_guard.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve_connection, "127.0.0.1", self.port, backlog=1024, reuse_port=True
        )

    async def _cut(self) -> None:
        await stop_accepting(self._server)
        for end in self._transports:
            end.abort()

    async def _stall(self) -> None:
        self._flowing.clear()

    async def _restore(self) -> None:
        if not self._server.is_serving():
            await self._listen()
        self._flowing.set()

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Joins a connection with one to the target, until either ends. Cancelled, it breaks both."""
        ends, asking = [writer], None
        self._transports.add(writer.transport)
        try:
            await self._flowing.wait()
            answers, there = await self._connect()
            ends.append(there)
            self._transports.add(there.transport)
            asking = asyncio.ensure_future(self._forward(reader, there))
            await self._forward(answers, writer, answers=True)
        except OSError:
            writer.transport.abort()  # nothing listens at the target
        except asyncio.CancelledError:
            for end in ends:
                end.transport.abort()
            raise
        finally:
            if asking is not None:
                asking.cancel()
            for end in ends:
                self._transports.discard(end.transport)
                end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target is None:
            raise ConnectionRefusedError
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target))
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        """Forwards data until the source ends or breaks, and then ends or breaks the sink."""
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._flowing.wait()
                if answers and self._hold_pattern and self._hold_pattern in data:
                    await asyncio.to_thread(self._hold_sync.reach)
                sink.write(data)
                await sink.drain()
            await self._flowing.wait()
            sink.write_eof()
        except OSError:
            await self._flowing.wait()
            sink.transport.abort()


class ProxyGroup:
    """The proxies of one scenario, on an event loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._proxies: list[TcpProxy] = []

    def add_proxy(self, target: ProxyTarget | None = None) -> TcpProxy:
        link = TcpProxy(self._loop, target)
        self._wait(link.open())
        self._proxies.append(link)
        return link

    def close(self) -> None:
        for link in self._proxies:
            self._wait(link.close())

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def open_proxies() -> Iterator[ProxyGroup]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = ProxyGroup(loop)
    try:
        yield made
    finally:
        made.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
