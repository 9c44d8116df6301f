"""Connections to MCP servers are shared, stay over a reload that keeps them, and are checked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway import logs
from gateway.configuration import McpServerDefinition
from gateway.domain.errors import SettingsError
from gateway.ports.check import CheckResult
from gateway.tools import tool
from gateway.tools.servers import ToolServers, check_servers
from tests.gateway.tools.mcp.conftest import misbehaving

ORDERS = misbehaving("change")


@pytest.fixture
async def servers() -> AsyncIterator[ToolServers]:
    logs.configure("ERROR", "text", [])
    opened = ToolServers()
    running = asyncio.create_task(opened.run())
    yield opened
    running.cancel()
    await asyncio.wait([running])


async def test_one_connection_serves_all_and_is_closed_after_the_last(servers: ToolServers) -> None:
    (first,), (second,) = servers.acquire([ORDERS]), servers.acquire([replace(ORDERS)])
    assert first is second
    (other,) = servers.acquire([replace(ORDERS, allow=("nothing",))])
    assert other is not first
    await first.ready()
    assert [each.name for each in first.tools] == ["orders__echo"]
    servers.release([first])
    servers.release([other])
    assert [each.name for each in second.tools] == ["orders__echo"]
    servers.release([second])
    assert not servers.in_use


async def test_check_tells_what_servers_offer_and_what_is_wrong() -> None:
    servers = ToolServers()
    servers.acquire(
        [
            replace(misbehaving("lie"), allow=("echo", "no_schema", "ecko")),
            McpServerDefinition("gone", url="http://user:pass@127.0.0.1:9/mcp?key=hush"),
            McpServerDefinition("remote", url="https://mcp.example/", hosted=True),
        ]
    )
    python = sys.executable.rpartition("/")[2]
    lines = await servers.check_once()
    assert lines[:3] == [
        CheckResult("mcp orders", ok=True, detail=f"{python}: orders__echo"),
        CheckResult(
            "mcp orders",
            ok=False,
            detail="no_schema is left out: its schema is invalid: "
            "'a number' is not valid under any of the given schemas",
        ),
        CheckResult(
            "mcp orders",
            ok=False,
            detail="allow names ecko, which the server does not have; if you mean echo, write that",
        ),
    ]
    (gone,) = lines[3:]
    assert not gone.ok
    assert gone.detail.startswith("http://127.0.0.1:9/mcp: ")


@tool
def orders__find() -> str:
    """Find."""
    return ""


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (replace(ORDERS, name="a_", command=("x",)), "mcp:a_ and mcp:a_ could have the same names"),
        (ORDERS, "the function tool orders__find has a name as the tools of mcp:orders have"),
    ],
)
def test_what_cannot_be_is_an_error_at_start(server: McpServerDefinition, problem: str) -> None:
    twice = [server, server] if server.name == "a_" else [server]
    with pytest.raises(SettingsError, match=problem):
        check_servers("default", twice, [orders__find])


def test_the_sdk_is_imported_only_for_a_server() -> None:
    program = (
        "import gateway.app, gateway.tools.servers, sys; sys.exit('mcp' in sys.modules or 'jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
