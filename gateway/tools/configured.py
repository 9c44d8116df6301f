"""The tools of the assistants that are configured: functions, and those of MCP servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.configuration import AssistantDefinition, Configuration
from gateway.domain.extras import imports_of_extra
from gateway.tools.tool import Tool
from gateway.tools.toolbox import ToolBox

if TYPE_CHECKING:
    from gateway.tools.mcp.servers import McpServers


def open_tool_servers(configuration: Configuration, functions: Sequence[Tool]) -> McpServers | None:
    """Returns the MCP servers, which are not connected to yet; None if none is configured. Raises SettingsError."""
    if not configuration.mcp_servers:
        return None
    with imports_of_extra("mcp", "[mcp.…] in gateway.toml"):
        from gateway.tools.mcp.servers import McpServers  # noqa: PLC0415  # its libraries take 27 MB
    return McpServers(configuration.mcp_servers.values(), [tool.name for tool in functions])


def toolbox_of(
    assistant: AssistantDefinition,
    configuration: Configuration,
    functions: Sequence[Tool],
    servers: McpServers | None,
) -> ToolBox:
    """Returns the tools that an assistant may call. ``servers``: those of the configuration."""
    wanted, names = assistant.function_tools, assistant.mcp_servers
    return ToolBox(
        [tool for tool in functions if wanted is None or tool.name in wanted],
        assistant.settings.tool_timeout_seconds,
        sources=() if servers is None else servers.sources(names),
        hosted=[configuration.mcp_servers[name] for name in names if configuration.mcp_servers[name].hosted],
    )
