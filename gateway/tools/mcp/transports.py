"""Connections to MCP servers within limits: what the SDK's own transports read without one is counted here.

A server that writes without end would otherwise fill the memory, or keep the worker's loop busy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from gateway import logs
from gateway.configuration import McpServerDefinition

MAX_MESSAGE_BYTES = 16 * 2**20
"""Of one message of a stdio server, and of all that an HTTP server sends on one response."""
MAX_MESSAGES_PER_SECOND = 2_000
"""Of a stdio server. Progress and log messages are some per second."""
CONNECT_SECONDS = 10.0
READ_SECONDS = 300.0
"""Between two pieces of a response; a call has its own, shorter time limit."""
EXIT_SECONDS = 2.0
"""For a server to end after its input was closed, and again after SIGTERM."""
STDERR_CHARS = 300
"""How much of what a server wrote last on stderr is told when it ends."""

Message = SessionMessage | Exception
Streams = tuple[Any, Any]
"""What a server says, and what it is told. The SDK's types of these are private."""

log = logs.get_logger(__name__)


class ServerEnded(Exception):
    """The server ended, or was cut off, and why."""


# ---------------------------------------------------------------- HTTP


class _Limited(httpx2.AsyncByteStream):
    """A response's body up to the limit."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_MESSAGE_BYTES
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise httpx2.ReadError(f"the response is longer than {MAX_MESSAGE_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class HttpTransport:
    """A streamable HTTP server."""

    def __init__(self, server: McpServerDefinition) -> None:
        self._server = server
        self.ended = asyncio.Event()
        """Is never set: only a request shows that an HTTP server is away."""
        self.reason = ""
        """What it answered last, if that was a refusal."""

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams, None]:
        """Connects. Raises httpx2.HTTPError, in a group, when that fails."""
        headers = {name: value.get_secret_value() for name, value in self._server.headers.items()}
        client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS),
            headers={**headers, "Accept-Encoding": "identity"},
            event_hooks={"response": [self._limit]},
        )
        async with (
            client,
            streamable_http_client(
                self._server.url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES
            ) as streams,
        ):
            yield streams

    async def _limit(self, response: httpx2.Response) -> None:
        self.reason = (
            f"it answered HTTP {response.status_code}" if response.status_code >= httpx2.codes.BAD_REQUEST else ""
        )
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise httpx2.ReadError("its response is compressed, although that is not accepted")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Limited(response.stream)


# ---------------------------------------------------------------- stdio


class StdioTransport:
    """A server that runs as a process of this one, and whose messages are lines."""

    def __init__(self, server: McpServerDefinition) -> None:
        self._server = server
        self._stderr = ""
        self._stderr_ended = asyncio.Event()
        self._flood = _Flood()
        self._is_cut_off = False
        self.ended = asyncio.Event()
        self.reason = ""
        """Why it ended."""

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams, None]:
        """Runs the server, and ends it at the end. Raises OSError if there is no such program."""
        process = await _start(self._server)
        to_us, received = anyio.create_memory_object_stream[Message](0)
        sent, to_server = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, process, to_us)
                group.start_soon(self._write, process, to_server)
                group.start_soon(self._read_stderr, process)
                try:
                    yield received, sent
                finally:
                    group.cancel_scope.cancel()
        finally:
            for stream in (to_us, received, sent, to_server):
                stream.close()
            await asyncio.shield(_stop(process, politely=not self._is_cut_off))

    async def _read(self, process: asyncio.subprocess.Process, to_us: MemoryObjectSendStream[Message]) -> None:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        try:
            while line := await process.stdout.readline():
                self._flood.count()
                with suppress(anyio.BrokenResourceError):  # nobody reads any more: the rest is read and dropped
                    await to_us.send(_parse(line))
            self.reason = await self._exit_reason(process)
        except (ValueError, ServerEnded) as exc:  # ValueError: the line is longer than the limit
            self._is_cut_off = True
            self.reason = (
                str(exc)
                if isinstance(exc, ServerEnded)
                else f"it sent a message of more than {MAX_MESSAGE_BYTES} bytes"
            )
        finally:
            self.ended.set()
            to_us.close()

    async def _write(
        self, process: asyncio.subprocess.Process, to_server: MemoryObjectReceiveStream[SessionMessage]
    ) -> None:
        assert process.stdin is not None  # noqa: S101  # it is a pipe
        async for each in to_server:
            line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            with suppress(OSError):  # it ended, which _read notices
                process.stdin.write(line.encode() + b"\n")
                await process.stdin.drain()

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101  # it is a pipe
        while piece := await process.stderr.read(2**16):
            self._stderr = (self._stderr + piece.decode(errors="replace"))[-STDERR_CHARS:]
            log.debug("an MCP server wrote to stderr", server=self._server.name, text=self._stderr)
        self._stderr_ended.set()

    async def _exit_reason(self, process: asyncio.subprocess.Process) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_SECONDS):
                await process.wait()
                await self._stderr_ended.wait()  # its end may be known before what it wrote last is read
        if process.returncode is None:
            return "it closed its output"
        last = " ".join(self._stderr.split())
        return f"its process ended with code {process.returncode}" + (f": {last}" if last else "")


class _Flood:
    """Counts the messages of the current second."""

    def __init__(self) -> None:
        self._since, self._number = 0.0, 0

    def count(self) -> None:
        """Raises ServerEnded for more messages than anybody needs."""
        now = time.monotonic()
        if now - self._since >= 1.0:
            self._since, self._number = now, 0
        self._number += 1
        if self._number > MAX_MESSAGES_PER_SECOND:
            raise ServerEnded(f"it sent more than {MAX_MESSAGES_PER_SECOND} messages in a second")


async def _start(server: McpServerDefinition) -> asyncio.subprocess.Process:
    variables = {name: value.get_secret_value() for name, value in server.env.items()}
    return await asyncio.create_subprocess_exec(
        *server.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=get_default_environment() | variables,
        limit=MAX_MESSAGE_BYTES,
        start_new_session=True,  # so that what it starts itself ends with it, and no Ctrl-C reaches it before us
    )


def _parse(line: bytes) -> Message:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as exc:
        return exc


async def _stop(process: asyncio.subprocess.Process, *, politely: bool) -> None:
    """Ends a server: closes its input, then asks it to end, then kills it and all that it started.

    What it still writes is read and dropped, as it would wait for that for ever, and we for its end.
    """
    if process.stdin is not None:
        process.stdin.close()
    drains = [asyncio.create_task(_drop(stream)) for stream in (process.stdout, process.stderr) if stream is not None]
    for ask in (None, signal.SIGTERM, KILL) if politely else (KILL,):
        if ask is not None:
            _signal_group(process, ask)
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_SECONDS):
                await process.wait()
                break
    _signal_group(process, KILL)  # what it started may still run
    await asyncio.wait(drains, timeout=EXIT_SECONDS)
    for drain in drains:
        drain.cancel()


async def _drop(stream: asyncio.StreamReader) -> None:
    while await stream.read(2**16):
        pass


KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
