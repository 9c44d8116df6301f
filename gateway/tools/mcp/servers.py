"""All MCP servers of the process: one connection each, which its assistants share."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlsplit

from gateway import logs
from gateway.configuration import McpServerDefinition
from gateway.domain.errors import SettingsError
from gateway.ports.check import CheckResult
from gateway.tools.mcp.connection import CONNECT_SECONDS, McpConnection
from gateway.tools.mcp.names import prefix_of
from gateway.tools.mcp.transports import program_of

MAX_SHOWN_TOOLS = 20


class McpServers:
    """The connections to MCP servers. Used on the worker's loop only."""

    def __init__(self, definitions: Iterable[McpServerDefinition], own_tools: Collection[str] = ()) -> None:
        """``own_tools``: the names of other tools. Raises SettingsError."""
        self._definitions = {each.name: each for each in definitions}
        _check_prefixes(self._definitions)
        _check_definitions(self._definitions.values())
        logs.add_secrets(secret for each in self._definitions.values() for secret in secrets_of(each))
        self._connections = {
            each.name: McpConnection(each, own_tools) for each in self._definitions.values() if not each.hosted
        }

    def sources(self, names: Iterable[str]) -> Sequence[McpConnection]:
        """Returns the connections of these servers; those that the assistant's server calls itself have none."""
        return [self._connections[name] for name in names if name in self._connections]

    async def run(self) -> None:
        """Keeps all connections, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for connection in self._connections.values():
                group.create_task(connection.run())

    async def check(self) -> Sequence[CheckResult]:
        """Returns what each server offers, or why its tools cannot be used. Waits for the first connections."""
        await asyncio.gather(*(each.ready(CONNECT_SECONDS) for each in self._connections.values()))
        return [result for name in self._definitions for result in self._results(name)]

    async def check_once(self) -> Sequence[CheckResult]:
        """Connects, checks and disconnects: for a process that runs no turns."""
        connecting = asyncio.create_task(self.run())
        try:
            return await self.check()
        finally:
            connecting.cancel()
            await asyncio.wait([connecting])

    def _results(self, name: str) -> Iterator[CheckResult]:
        line, definition = f"mcp {name}", self._definitions[name]
        where = place_of(definition)
        if definition.hosted:
            yield CheckResult(line, ok=True, detail=f"{where}; called by the assistant's server")
            return
        connection = self._connections[name]
        if connection.problem:
            yield CheckResult(line, ok=False, detail=f"{where}: {connection.detail or connection.problem}")
            return
        listing = connection.listing
        names = [tool.name for tool in listing.tools]
        more = f" and {len(names) - MAX_SHOWN_TOOLS} more" if len(names) > MAX_SHOWN_TOOLS else ""
        shown = ", ".join(names[:MAX_SHOWN_TOOLS]) or "no tools"
        yield CheckResult(line, ok=True, detail=f"{where}: {shown}{more}")
        for tool, reason in listing.left_out.items():
            yield CheckResult(line, ok=False, detail=f"{tool} is left out: {reason}")
        for tool in listing.unknown:
            near = get_close_matches(tool, listing.offered, n=1)
            hint = f"; if you mean {near[0]}, write that" if near else ""
            yield CheckResult(line, ok=False, detail=f"allow names {tool}, which the server does not have{hint}")


def place_of(server: McpServerDefinition) -> str:
    """Returns where a server is, without what may be secret."""
    if not server.url:
        return program_of(server.command)
    url = urlsplit(server.url)
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()


def secrets_of(server: McpServerDefinition) -> Iterator[str]:
    """Yields what must not be logged: values of headers and variables, a token after its scheme, parts of the URL."""
    for value in (*server.headers.values(), *server.env.values()):
        secret = value.get_secret_value()
        yield secret
        yield secret.rpartition(" ")[2]
    url = urlsplit(server.url)
    yield url.password or ""
    yield from (value for _, value in parse_qsl(url.query))


def _check_prefixes(definitions: Iterable[str]) -> None:
    """Raises SettingsError if the tools of two servers could have one name."""
    known: dict[str, str] = {}
    for name in definitions:
        for prefix, other in known.items():
            if prefix.startswith(prefix_of(name)) or prefix_of(name).startswith(prefix):
                raise SettingsError(
                    f"mcp.{name}: its tools could have the names of those of mcp.{other}. Rename one of the servers."
                )
        known[prefix_of(name)] = name


def _check_definitions(definitions: Iterable[McpServerDefinition]) -> None:
    """Raises SettingsError for what is asked of a server and cannot be done."""
    for each in definitions:
        if each.hosted and not each.url:
            raise SettingsError(
                f"mcp.{each.name}.hosted: the assistant's server can only call a server with a url. Remove hosted."
            )
        if each.approve or each.approvers:
            raise SettingsError(
                f"mcp.{each.name}.approve: calls cannot be approved by people in this version. Leave the tools out by "
                "allow, or remove approve and approvers if they may be called without."
            )
