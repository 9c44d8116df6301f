"""The page of assistants: what each is, whether it works, what it costs, and the routes, bots and MCP servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import flask

from gateway.admin.context import AdminContext, RunningBackend
from gateway.admin.filters import DAY
from gateway.admin.ttl_cache import TtlCache
from gateway.configuration import AssistantDefinition, Bot, Configuration, McpServerDefinition
from gateway.domain.bots import bot_name
from gateway.ports.check import CheckResult
from gateway.ports.reporting import AssistantUsage

MONTH = 30 * DAY
USAGE_TTL_SECONDS = 60.0
MCP = "mcp"
"""The name of the MCP servers in the results of the checks; each result there is named ``mcp NAME``."""

UsageByName = Mapping[str, AssistantUsage]
ResultsByName = Mapping[str, Sequence[CheckResult]]


@dataclass(frozen=True, slots=True)
class AssistantRow:
    """One assistant. Without a definition it is not configured any more, but had turns in the last 30 days."""

    name: str
    definition: AssistantDefinition | None
    backend: RunningBackend | None
    routes: int
    """How many routes lead to it."""
    checks: Sequence[CheckResult]
    day: AssistantUsage
    month: AssistantUsage


@dataclass(frozen=True, slots=True)
class BotRow:
    """One bot; the unnamed one of a platform has no name."""

    platform: str
    name: str
    assistant: str
    """Empty: the default one, where no route leads to another."""
    checks: Sequence[CheckResult]


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One MCP server."""

    definition: McpServerDefinition
    where: str
    """Its host or its program. The rest of an address or of a command line may hold secrets."""
    assistants: Sequence[str]
    checks: Sequence[CheckResult]


class AssistantsPage:
    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._usage_cache: TtlCache[tuple[UsageByName, UsageByName]] = TtlCache()

    def show(self) -> str:
        configuration, checked = self._context.configuration(), self._context.checks()
        return flask.render_template(
            "admin/assistants.html",
            rows=list(self._assistants(configuration, checked)),
            routes=configuration.routes,
            bots=list(_bots(self._context.platforms, configuration.bots, checked)),
            servers=[_server(each, configuration, checked) for each in configuration.mcp_servers.values()],
        )

    def _assistants(self, configuration: Configuration, checked: ResultsByName) -> Iterator[AssistantRow]:
        day, month = self._usage_cache.get("all", USAGE_TTL_SECONDS, self._load_usage)
        backends = {each.assistant: each for each in self._context.backends()}
        for name in dict.fromkeys((*configuration.assistants, *month)):
            backend = backends.get(name)
            yield AssistantRow(
                name,
                configuration.assistants.get(name),
                backend,
                routes=sum(route.assistant == name for route in configuration.routes),
                checks=checked.get(backend.checked_as, ()) if backend else (),
                day=day.get(name, AssistantUsage(name, 0, 0, 0)),
                month=month.get(name, AssistantUsage(name, 0, 0, 0)),
            )

    def _load_usage(self) -> tuple[UsageByName, UsageByName]:
        """Returns the usage of the last day and of the last 30 days."""
        store = self._context.store
        until = store.now()
        day, month = (store.usage_by_assistant(until - length, until) for length in (DAY, MONTH))
        return {each.assistant: each for each in day}, {each.assistant: each for each in month}


def _bots(platforms: Sequence[str], bots: Sequence[Bot], checked: ResultsByName) -> Iterator[BotRow]:
    named = {bot_name(bot.platform, bot.name): bot for bot in bots}
    for platform in platforms:
        if platform not in named:
            yield BotRow(platform, "", "", checked.get(platform, ()))
    for name, bot in named.items():
        yield BotRow(bot.platform, bot.name, bot.assistant, checked.get(name, ()))


def _server(definition: McpServerDefinition, configuration: Configuration, checked: ResultsByName) -> ServerRow:
    name = definition.name
    users = [each.name for each in configuration.assistants.values() if name in each.mcp_servers]
    checks = [each for each in checked.get(MCP, ()) if each.name == f"{MCP} {name}"]
    where = (urlsplit(definition.url).hostname or "") if definition.url else definition.command[0]
    return ServerRow(definition, where, users, checks)


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    blueprint.add_url_rule("/assistants", "assistants", AssistantsPage(context).show)
