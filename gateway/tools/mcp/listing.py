"""The list of tools of an MCP server: read page by page, and made into what a model may be offered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp import Client
from mcp_types import Tool as ServerTool

from gateway import logs
from gateway.configuration import ALL_TOOLS, McpServerDefinition
from gateway.tools.mcp.names import tool_name
from gateway.tools.mcp.schemas import SchemaRefused, model_schema
from gateway.tools.tool import Tool, ToolResult

MAX_PAGES = 50
MAX_DESCRIPTION_CHARS = 1024
"""Of a function: developers.openai.com/api/reference, chat completions."""

Call = Callable[[str, dict[str, Any]], Any]
"""Calls a tool by the server's name for it; returns an awaitable ToolResult."""

log = logs.get_logger(__name__)


class ListRefused(Exception):
    """The list of tools cannot be used."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server offers."""

    tools: tuple[Tool, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why a tool cannot be offered to a model, by the server's name for it."""
    unknown: tuple[str, ...] = ()
    """Names that are allowed, and that the server does not have."""
    offered: tuple[str, ...] = ()
    """All of the server's tools, by its own names."""


async def read_listing(client: Client, server: McpServerDefinition, call: Call) -> Listing:
    """Returns the tools that may be called. Raises ListRefused, and what the client raises."""
    found: dict[str, ServerTool] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found |= {tool.name: tool for tool in page.tools}
        cursor = page.next_cursor
        if cursor is None:
            return _listing_of(found, server, call)
    raise ListRefused(f"its list of tools has more than {MAX_PAGES} pages")


def _listing_of(found: Mapping[str, ServerTool], server: McpServerDefinition, call: Call) -> Listing:
    allow = server.allow
    if missing := [name for name in server.approve if name not in found and name != ALL_TOOLS]:
        # Another tool may be meant, which would then run without.
        raise ListRefused(f"approve names {', '.join(missing)}, which the server does not have")
    tools: dict[str, Tool] = {}
    left_out: dict[str, str] = {}
    for tool in (each for name, each in found.items() if allow is None or name in allow):
        name = tool_name(server.name, tool.name)
        if name in tools:
            raise ListRefused(f"its tool {tool.name} would be named {name}, as another tool is; leave one out by allow")
        try:
            tools[name] = _tool(name, tool, server, call)
        except SchemaRefused as exc:
            left_out[tool.name] = str(exc)
            log.warning("MCP tool left out", server=server.name, tool=tool.name, error=str(exc))
    unknown = tuple(name for name in allow or () if name not in found)
    return Listing(tuple(tools.values()), left_out, unknown, tuple(found))


def _tool(name: str, tool: ServerTool, server: McpServerDefinition, call: Call) -> Tool:
    parameters = model_schema(tool.input_schema)
    description = (tool.description or tool.title or tool.name)[:MAX_DESCRIPTION_CHARS]

    async def work(**arguments: Any) -> ToolResult:
        result: ToolResult = await call(tool.name, arguments)
        return result

    approvers = server.approvers_of(tool.name)
    return Tool(name, description, parameters, work, None, server.timeout, approvers)
