"""The assistants of this process, by name. A reload replaces those that it changes; what they are at ends on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway import logs
from gateway.configuration import AssistantDefinition, Configuration, CurrentConfiguration, McpServerDefinition
from gateway.domain.errors import SettingsError
from gateway.domain.files import File
from gateway.domain.models import DEFAULT_ASSISTANT
from gateway.policy.routes import AssistantRouter
from gateway.ports.assistant import Assistant
from gateway.ports.spool import FileWriter
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.answering.tool_files import KeptFiles, is_kept

log = logs.get_logger(__name__)


@dataclass(eq=False)
class RunningAssistant:
    """An assistant with its backend, while it is in force or in use."""

    name: str
    backend: Assistant
    runner: AssistantRunner
    fallback: Sequence[str] = ()
    """Names of the assistants that are asked in its place, in this order, while it is unavailable."""
    tool_files: KeptFiles | None = None
    """Has those files of its replies that tools returned."""
    on_close: Callable[[], None] = lambda: None
    """Called when it is closed."""
    users: int = 0
    """How many turns use it."""
    is_replaced: bool = False
    """Whether it is closed as soon as nothing uses it."""

    async def fetch_file(self, file: File, writer: FileWriter) -> None:
        """Writes the content of a file of a reply. Raises AssistantError."""
        if self.tool_files is not None and is_kept(file):
            await self.tool_files.fetch(file, writer)
        else:
            await self.backend.fetch_file(file, writer)

    async def close(self) -> None:
        await self.backend.close()
        self.on_close()


Blueprint = tuple[AssistantDefinition, tuple[McpServerDefinition, ...]]
"""All that an assistant is made from. While it stays equal, the assistant stays."""
Build = Callable[[AssistantDefinition, Sequence[McpServerDefinition]], RunningAssistant]
"""Makes an assistant. No I/O. Raises SettingsError."""


class Assistants:
    """Used on the worker's loop only, except for the constructor."""

    def __init__(self, current: CurrentConfiguration, build: Build, free_platforms: Collection[str] = ()) -> None:
        """``free_platforms``: see ``AssistantRouter``. Raises SettingsError."""
        self.router = AssistantRouter(current, free_platforms)
        self._current = current
        self._build = build
        self._blueprints = _blueprints(current.get())
        self._running = {name: build(*blueprint) for name, blueprint in self._blueprints.items()}
        self._replaced: set[RunningAssistant] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[RunningAssistant]:
        """Yields those that are in force, in the order of the configuration."""
        return iter(tuple(self._running.values()))

    @property
    def default(self) -> RunningAssistant:
        return self._running[DEFAULT_ASSISTANT]

    def acquire(self, name: str) -> RunningAssistant | None:
        """Returns an assistant that stays open until it is released; None if there is none of that name."""
        found = self._running.get(name)
        if found is not None:
            found.users += 1
        return found

    def keep(self, running: RunningAssistant) -> None:
        """Acquires an assistant once more that the caller has not released yet."""
        running.users += 1

    def release(self, running: RunningAssistant) -> None:
        running.users -= 1
        if running.is_replaced and not running.users:
            self._close_soon(running)

    @contextmanager
    def using(self, name: str) -> Iterator[RunningAssistant | None]:
        """Acquires an assistant for the time of the context."""
        found = self.acquire(name)
        try:
            yield found
        finally:
            if found is not None:
                self.release(found)

    def replace(self, configuration: Configuration) -> None:
        """Puts another configuration into force. Raises SettingsError; then nothing has changed.

        Those that stay the same keep their connections. One that is replaced or left out is closed when the turns that
        use it have ended.
        """
        wanted = _blueprints(configuration)
        kept = {name for name, blueprint in wanted.items() if self._blueprints.get(name) == blueprint}
        made = self._build_all({name: blueprint for name, blueprint in wanted.items() if name not in kept})
        self._current.replace(configuration)
        before, self._blueprints = self._running, wanted
        self._running = {name: before[name] if name in kept else made[name] for name in wanted}
        for name, running in before.items():
            if name not in kept:
                self._replace(running)

    def _build_all(self, wanted: Mapping[str, Blueprint]) -> Mapping[str, RunningAssistant]:
        """Makes assistants: all, or none if it raises SettingsError."""
        made: dict[str, RunningAssistant] = {}
        try:
            for name, blueprint in wanted.items():
                made[name] = self._build(*blueprint)
        except SettingsError:
            for running in made.values():
                self._close_soon(running)
            raise
        return made

    async def close(self) -> None:
        """Closes all, also those that are still in use."""
        await asyncio.gather(*(each.close() for each in (*self._running.values(), *self._replaced)), *self._closing)

    def _replace(self, running: RunningAssistant) -> None:
        running.is_replaced = True
        self._replaced.add(running)
        log.info("assistant replaced", assistant=running.name, turns=running.users)
        if not running.users:
            self._close_soon(running)

    def _close_soon(self, running: RunningAssistant) -> None:
        self._replaced.discard(running)
        task = asyncio.get_running_loop().create_task(running.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _blueprints(configuration: Configuration) -> Mapping[str, Blueprint]:
    servers = configuration.mcp_servers
    return {
        name: (definition, tuple(servers[each] for each in definition.mcp_servers))
        for name, definition in configuration.assistants.items()
    }
