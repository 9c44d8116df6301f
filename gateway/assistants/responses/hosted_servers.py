"""MCP servers whose tools the assistant's server calls itself.

The tool type ``mcp``: developers.openai.com/api/docs/guides/tools-remote-mcp.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from gateway import logs
from gateway.assistants.errors.error_map import ToolServerAway
from gateway.assistants.sse import Json
from gateway.configuration import McpServerDefinition

AWAY_SECONDS = 60.0
"""How long a server is left out of requests after its tools could not be listed: each such request fails as a whole."""
NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_-]")
BEARER = "bearer "

log = logs.get_logger(__name__)


class HostedServers:
    """The MCP servers of one assistant that its server calls."""

    def __init__(self, definitions: Sequence[McpServerDefinition], clock: Callable[[], float] = time.monotonic) -> None:
        self._tools = {_label(each): _hosted_tool(each) for each in definitions}
        self._clock = clock
        self._away_until: dict[str, float] = {}

    @property
    def tools(self) -> list[Json]:
        """The tools of a request, without those of servers that were away just now."""
        return [tool for label, tool in self._tools.items() if not self._is_away(label)]

    @property
    def notice(self) -> str:
        """What the model should know of those left out; else empty."""
        away = [label for label in self._tools if self._is_away(label)]
        if not away:
            return ""
        return (
            f"The tools of {', '.join(away)} cannot be used right now. If they are needed, say that they are missing."
        )

    def leave_out(self, error: ToolServerAway) -> bool:
        """Leaves out the server that an error names for a while; all, if it names none. Returns whether that is new."""
        named = [label for label in self._tools if f"'{label}'" in str(error)] or list(self._tools)
        new = [label for label in named if not self._is_away(label)]
        for label in new:
            self._away_until[label] = self._clock() + AWAY_SECONDS
            log.warning("the assistant's server cannot reach an MCP server", server=label, error=str(error))
        return bool(new)

    def _is_away(self, label: str) -> bool:
        return self._clock() < self._away_until.get(label, 0.0)


def _label(server: McpServerDefinition) -> str:
    return NOT_IN_LABEL.sub("_", server.name)


def _hosted_tool(server: McpServerDefinition) -> Json:
    headers = {name: value.get_secret_value() for name, value in server.headers.items()}
    tool: Json = {"type": "mcp", "server_label": _label(server), "server_url": server.url, "require_approval": "never"}
    token = next((name for name, value in headers.items() if _is_bearer(name, value)), None)
    if token is not None:  # as a header it is refused or not sent on
        tool["authorization"] = headers.pop(token)[len(BEARER) :]
    if headers:
        tool["headers"] = headers
    if server.allow is not None:
        tool["allowed_tools"] = list(server.allow)
    return tool


def _is_bearer(name: str, value: str) -> bool:
    return name.lower() == "authorization" and value.lower().startswith(BEARER)
