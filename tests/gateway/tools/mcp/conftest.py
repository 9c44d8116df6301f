"""Fixtures: an MCP server over HTTP, by the SDK, and connections to it and to others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway import logs
from gateway.configuration import McpServerDefinition
from gateway.tools.mcp.connection import McpConnection
from tests.fakes.mcp_http import HttpMcpServer

MISBEHAVING = Path(__file__).parents[3] / "fakes" / "mcp_misbehaving.py"

Connect = Callable[[McpServerDefinition], Awaitable[McpConnection]]


def misbehaving(mode: str) -> McpServerDefinition:
    """Returns a stdio server that misbehaves in this way."""
    return McpServerDefinition(
        "orders",
        command=(sys.executable, "-I", "-S", str(MISBEHAVING), mode),
        env={"TOKEN": SecretStr("hush-hush-hush")},
    )


@asynccontextmanager
async def connected(server: McpServerDefinition) -> AsyncIterator[McpConnection]:
    """Keeps a connection, which has been tried once."""
    connection = McpConnection(server)
    running = asyncio.create_task(connection.run())
    await connection.ready(20)
    try:
        yield connection
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture(autouse=True)
def few_logs() -> None:
    """Formatting tracebacks of what is meant to fail takes seconds."""
    logs.configure("WARNING", "text", [])


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def open_connection(server: McpServerDefinition) -> McpConnection:
            return await stack.enter_async_context(connected(server))

        yield open_connection


@pytest.fixture
async def http_server() -> AsyncIterator[HttpMcpServer]:
    async with HttpMcpServer() as server:
        yield server
