"""The MCP servers of the process: one connection each, which assistants share, and which a reload opens and closes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.configuration import McpServerDefinition
from gateway.domain.errors import SettingsError
from gateway.domain.extras import imports_of_extra
from gateway.ports.check import CheckResult
from gateway.tools.mcp.names import prefix_of
from gateway.tools.tool import Tool
from gateway.tools.toolbox import ToolSource

if TYPE_CHECKING:
    from gateway.tools.mcp.connection import McpConnection


@dataclass(eq=False)
class _Shared:
    """A connection while assistants use it."""

    definition: McpServerDefinition
    connection: McpConnection
    users: int = 0
    task: asyncio.Task[None] | None = None


class ToolServers:
    """Opens connections to MCP servers. Used on the worker's loop, and before that runs."""

    def __init__(self) -> None:
        self._shared: list[_Shared] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def acquire(self, definitions: Iterable[McpServerDefinition]) -> Sequence[ToolSource]:
        """Returns the connections to these servers; those that the assistant's server calls itself have none.

        They stay until each is released as often as it was acquired. Raises SettingsError if the SDK is missing.
        """
        found = [self._find(each) for each in definitions if not each.hosted]
        for shared in found:
            shared.users += 1
            self._start(shared)
        return [shared.connection for shared in found]

    def release(self, sources: Iterable[ToolSource]) -> None:
        """Closes the connections that nobody uses any more."""
        for shared in [each for each in self._shared if each.connection in sources]:
            shared.users -= 1
            if not shared.users:
                self._shared.remove(shared)
                self._stop(shared)

    @property
    def in_use(self) -> bool:
        """Whether there is any connection."""
        return bool(self._shared)

    async def run(self) -> None:
        """Keeps the connections open until it is cancelled. Without it none is opened."""
        self._loop = asyncio.get_running_loop()
        for shared in self._shared:
            self._start(shared)
        try:
            await asyncio.Event().wait()
        finally:
            self._loop = None
            for shared in self._shared:
                self._stop(shared)
            if self._closing:
                await asyncio.wait(self._closing)

    async def check(self) -> Sequence[CheckResult]:
        """Returns what each server offers, or why its tools cannot be used. Waits for the first connections."""
        connections = [shared.connection for shared in self._shared]
        checked = await asyncio.gather(*(connection.check() for connection in connections))
        return [result for results in checked for result in results]

    async def check_once(self) -> Sequence[CheckResult]:
        """Connects, checks and disconnects: for a process that runs no turns."""
        connecting = asyncio.create_task(self.run())
        await asyncio.sleep(0)
        try:
            return await self.check()
        finally:
            connecting.cancel()
            await asyncio.wait([connecting])

    def _find(self, definition: McpServerDefinition) -> _Shared:
        known = next((each for each in self._shared if each.definition == definition), None)
        if known is None:
            with imports_of_extra("mcp", f"mcp.{definition.name}"):
                from gateway.tools.mcp.connection import McpConnection  # noqa: PLC0415  # its libraries take 27 MB
            known = _Shared(definition, McpConnection(definition))
            self._shared.append(known)
        return known

    def _start(self, shared: _Shared) -> None:
        if self._loop is not None and shared.task is None:
            shared.task = self._loop.create_task(shared.connection.run())

    def _stop(self, shared: _Shared) -> None:
        if shared.task is not None:
            shared.task.cancel()
            self._closing.add(shared.task)
            shared.task.add_done_callback(self._closing.discard)


def check_servers(assistant: str, servers: Sequence[McpServerDefinition], functions: Iterable[Tool]) -> None:
    """Raises SettingsError if the tools of an assistant could have the same names, or cannot be had as they are asked
    for.
    """
    where = f"[assistants.{assistant}] tools"
    for place, each in enumerate(servers):
        for other in servers[:place]:
            if _may_collide(each, other):
                raise SettingsError(
                    f"{where}: the tools of mcp:{each.name} and mcp:{other.name} could have the same names. Rename one "
                    "of the servers."
                )
        if own := next((tool.name for tool in functions if tool.name.startswith(prefix_of(each.name))), None):
            raise SettingsError(
                f"{where}: the function tool {own} has a name as the tools of mcp:{each.name} have. Rename one of them."
            )


def _may_collide(one: McpServerDefinition, other: McpServerDefinition) -> bool:
    first, second = prefix_of(one.name), prefix_of(other.name)
    return first.startswith(second) or second.startswith(first)
