"""The reference server of times, by the authors of MCP, on stdio, as ``gateway.toml`` would name it."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from pydantic import SecretStr

from gateway.configuration import McpServerDefinition
from gateway.tools import ToolBox
from gateway.tools.mcp.connection import McpConnection
from tests.conformance.pypi import PypiWheel, WheelUnavailable

WHEELS = (
    PypiWheel("mcp-server-time", "2026.10.19", "5c099a001c6ca78260bda419f2e9b2aabee1adc4fe6ca56d8959871ad8da58a1"),
    PypiWheel("tzlocal", "5.4.5", "ecab534f6d65d9deb4c4ea52c121ab6dd5958e9b878e71dcb102578269752454"),
)


@pytest.mark.conformance
async def test_the_reference_server_of_times_is_asked() -> None:
    try:
        folders = [str(wheel.ensure_installed()) for wheel in WHEELS]
    except WheelUnavailable as exc:
        pytest.skip(str(exc))
    program = (sys.executable, "-m", "mcp_server_time", "--local-timezone", "Europe/Berlin")
    path = {"PYTHONPATH": SecretStr(os.pathsep.join(folders))}
    connection = McpConnection(McpServerDefinition("time", command=program, env=path, allow=("convert_time",)))
    running = asyncio.create_task(connection.run())
    try:
        await connection.ready(30)
        assert [tool.name for tool in connection.tools] == ["time__convert_time"], connection.detail
        box = ToolBox([], sources=[connection])
        asked = {"source_timezone": "UTC", "target_timezone": "Asia/Tokyo", "time": "12:00"}
        told = json.loads((await box.call("time__convert_time", json.dumps(asked))).text)
        assert told["target"]["datetime"].endswith("T21:00:00+09:00")
        refused = (await box.call("time__convert_time", json.dumps({**asked, "target_timezone": "Mars"}))).text
        assert refused.startswith("The tool time__convert_time failed: ")
    finally:
        running.cancel()
        await asyncio.wait([running])
