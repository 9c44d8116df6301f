"""The connection to one MCP server: kept open, opened again when it breaks, and the tools behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    Implementation,
    ServerNotification,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from gateway import logs
from gateway.configuration import McpServerDefinition
from gateway.ports.check import CheckResult
from gateway.tools.mcp.listing import Listing, read_listing
from gateway.tools.mcp.names import prefix_of
from gateway.tools.mcp.report import report
from gateway.tools.mcp.results import McpToolFailed, read_result
from gateway.tools.mcp.transports import HttpTransport, StdioTransport
from gateway.tools.tool import Tool, ToolResult

CONNECT_SECONDS = 20.0
"""For a connection with its list of tools, and for each later list. A program may have to be installed first."""
READY_SECONDS = 5.0
"""How long the first turns wait for the first connection."""
RELIST_SECONDS = 300.0
"""The list of tools is read this often at least: it shows that the server still works, and not all tell of changes."""
CLOSE_SECONDS = 10.0
"""For a connection to close; longer than a server on stdio is given to end."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before a broken connection is opened again; twice as long after each failure in a row."""
SETTLED_SECONDS = 30.0
"""A connection that lasted for as long was none that fails at once."""
NO_ANSWER = "its server does not answer"
NOT_YET = "its server has not answered yet"
SESSION_ENDED = "Session terminated"
"""How the SDK says that an HTTP server does not know the session (HTTP 404): it was restarted, and did nothing."""

log = logs.get_logger(__name__)


class ServerAway(Exception):
    """The server cannot be reached; the text is for the model."""


class McpConnection:
    """Implements ToolSource. ``run`` keeps the connection; all else returns at once or waits for the server."""

    def __init__(self, server: McpServerDefinition) -> None:
        self.name = server.name
        self.prefix = prefix_of(server.name)
        self.problem = NOT_YET
        self.detail = ""
        """The problem, for the operator."""
        self.listing = Listing()
        self._server = server
        self._client: Client | None = None
        self._known = asyncio.Event()
        """Whether a first attempt to connect has ended."""
        self._connected = asyncio.Event()
        self._changed = asyncio.Event()
        """Whether the list of tools is to be read, or the connection to be given up."""
        self._lost = ""
        """Why the connection is to be given up."""

    @property
    def tools(self) -> Sequence[Tool]:
        return () if self.problem else self.listing.tools

    async def ready(self, seconds: float = READY_SECONDS) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._known.wait()

    async def check(self) -> Sequence[CheckResult]:
        """Returns what the server offers, or why its tools cannot be used. Waits for the first attempt to connect."""
        await self.ready(CONNECT_SECONDS)
        return list(report(self._server, self.problem and (self.detail or self.problem), self.listing))

    # ------------------------------------------------------------ connecting

    async def run(self) -> None:
        """Connects, and again whenever the connection breaks, until it is cancelled."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            since = loop.time()
            reason = await self._hold_until_lost()
            failures = 1 if loop.time() - since > SETTLED_SECONDS else failures + 1
            pause = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 60), LONGEST_PAUSE)
            self._is_away(reason)
            log.warning("MCP server away", server=self.name, error=self.detail, retry_in=pause)
            await asyncio.sleep(pause)

    async def _hold_until_lost(self) -> str:
        """Holds one connection, in a task of its own: the SDK may take the cancellation of a task for one of its own
        scopes, and then that task would go on. Returns why the connection broke.
        """
        self._lost = ""
        holding = asyncio.create_task(self._connect_once())
        try:
            await asyncio.wait([holding])
        finally:
            if not holding.done():
                self._give_up("the gateway stops")
                holding.cancel()
                await asyncio.wait([holding], timeout=CLOSE_SECONDS)
        return holding.result()

    async def _connect_once(self) -> str:
        """Holds one connection until it breaks. Returns why it did."""
        transport = HttpTransport(self._server) if self._server.url else StdioTransport(self._server)
        try:
            await self._hold(transport)
        except Exception as exc:  # noqa: BLE001  # whatever a server or the SDK does costs its tools only
            return self._lost or transport.reason or _reason(exc)
        return self._lost

    async def _hold(self, transport: HttpTransport | StdioTransport) -> None:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await stack.enter_async_context(self._client_of(transport))
                self.listing = await read_listing(client, self._server, self._call)
            self._is_connected(client)
            stack.callback(lambda: self._is_away(self._lost or transport.reason))
            watch = asyncio.create_task(self._watch_end(transport))
            stack.callback(watch.cancel)
            follow = asyncio.create_task(self._follow_changes(client))
            stack.callback(follow.cancel)
            while not self._lost:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RELIST_SECONDS):
                        await self._changed.wait()
                self._changed.clear()
                if not self._lost:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        self.listing = await read_listing(client, self._server, self._call)

    def _client_of(self, transport: HttpTransport | StdioTransport) -> Client:
        return Client(
            transport.streams(),
            message_handler=self._on_message,
            client_info=Implementation(name="chat-gateway", version="1"),
            cache=None,
        )

    def _is_connected(self, client: Client) -> None:
        self._client, self.problem, self.detail = client, "", ""
        self._known.set()
        self._connected.set()
        log.info("MCP server connected", server=self.name, tools=len(self.listing.tools))

    def _is_away(self, reason: str) -> None:
        self._client, self.problem, self.detail = None, NO_ANSWER, logs.mask(reason)
        self._connected.clear()
        self._known.set()

    def _give_up(self, reason: str) -> None:
        """Has the connection opened again."""
        self._lost = self._lost or reason or NO_ANSWER
        self._connected.clear()
        self._changed.set()

    async def _watch_end(self, transport: HttpTransport | StdioTransport) -> None:
        await transport.ended.wait()
        self._give_up(transport.reason)

    async def _on_message(self, message: ServerNotification | Exception) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed.set()

    async def _follow_changes(self, client: Client) -> None:
        """Has the list read again when the server says that it changed, by the protocol's version of 2026-07-28."""
        while client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    self._changed.set()  # what changed before is not told
                    async for _ in changes:
                        self._changed.set()
            except SubscriptionLost:
                self._changed.set()  # whether the server is still there, its list of tools will tell
            except MCPError as exc:
                log.debug("MCP server tells no changes", server=self.name, error=str(exc))
                return
            await asyncio.sleep(LONGEST_PAUSE)

    # ------------------------------------------------------------ tools

    async def _call(self, tool: str, arguments: dict[str, Any]) -> ToolResult:
        """Returns what a tool returned. Raises McpToolFailed, ServerAway."""
        try:
            return read_result(await self._connected_client().call_tool(tool, arguments))
        except MCPError as exc:
            if exc.code == INVALID_REQUEST and exc.message == SESSION_ENDED:
                return await self._call_again(tool, arguments)
            if exc.code != CONNECTION_CLOSED:
                raise McpToolFailed(exc.message) from exc
            raise self._broken(exc) from exc
        except (McpToolFailed, ServerAway, RuntimeError, ValidationError):
            raise  # RuntimeError, ValidationError: the result is not what the server promised
        except asyncio.CancelledError:
            self._changed.set()  # did it take too long, or is the server stuck? The list of tools will tell
            raise
        except Exception as exc:
            raise self._broken(exc) from exc

    async def _call_again(self, tool: str, arguments: dict[str, Any]) -> ToolResult:
        """Calls once more, in another session: the server did not know that of the first call."""
        self._give_up("the server does not know the session any more")
        await self._connected.wait()  # no longer than the call may take
        try:
            return read_result(await self._connected_client().call_tool(tool, arguments))
        except MCPError as exc:
            raise McpToolFailed(exc.message) from exc

    def _connected_client(self) -> Client:
        if self._client is None or self._lost:
            raise ServerAway(NO_ANSWER)
        return self._client

    def _broken(self, exc: Exception) -> ServerAway:
        self._give_up(_reason(exc))
        return ServerAway("the connection to its server broke; whether the call was carried out is not known")


def _reason(exc: BaseException) -> str:
    """Returns why a connection failed, for the operator."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, TimeoutError):
        return f"it did not answer within {CONNECT_SECONDS:g} seconds"
    if isinstance(exc, ValidationError):
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"it breaks the protocol: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{exc}".strip() or type(exc).__name__
