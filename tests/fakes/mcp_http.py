"""The MCP server of ``mcp_tools`` over streamable HTTP, on the loop of the test."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

import uvicorn
from starlette.types import Receive, Scope, Send

from tests.fakes.mcp_tools import build


class HttpMcpServer:
    """Serves until the end of its context; may be stopped and started again on the same port meanwhile."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        """Those of each request."""
        self.status = 0
        """What to answer instead, if not 0."""
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/mcp"

    async def start(self) -> None:
        self._app = build().streamable_http_app()
        config = uvicorn.Config(self._serve, log_level="critical", interface="asgi3")
        self._server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._running = asyncio.create_task(self._server._serve([listener]))
        while not self._server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        for server in self._server.servers:
            server.close()  # before clients come back
        for connection in self._server.server_state.connections:  # since Python 3.12, a server waits for those it has
            connection.transport.abort()
        await self._running

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
            if self.status:
                await send({"type": "http.response.start", "status": self.status, "headers": []})
                await send({"type": "http.response.body", "body": b"no"})
                return
        await self._app(scope, receive, send)
