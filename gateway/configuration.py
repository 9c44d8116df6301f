"""What runs here: several assistants, the routes to them, the bots, the tool servers and who may use what. No I/O.

The environment alone describes one assistant, which is named ``default``; ``gateway.toml`` can describe more.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from gateway.domain import models
from gateway.settings import Settings
from gateway.settings.platforms import PlatformSettings

DEFAULT_ASSISTANT = models.DEFAULT_ASSISTANT
ALL_TOOLS = "*"


@dataclass(frozen=True, slots=True)
class AssistantDefinition:
    """One assistant, as ``[assistants.NAME]`` describes it."""

    name: str
    settings: Settings
    """The core's settings with this assistant's own values in place of those of the environment and the file.
    ``gateway.assistants.build`` takes them."""
    function_tools: tuple[str, ...] | None = None
    """The names of the function tools that it may call; None: all."""
    mcp_servers: tuple[str, ...] = ()
    """The names of the MCP servers whose tools it may call."""
    fallback: tuple[str, ...] = ()
    """Names of assistants that are asked, in this order, while this one is unavailable and nothing was shown yet."""
    aliases: tuple[str, ...] = ()
    """Further names by which people and callers may ask for it."""
    tool_approvers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The function tools whose calls people have to approve, by name, with who may."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """Leads messages to an assistant. Empty fields match anything; the most specific route wins."""

    platform: str
    """A platform with all its bots, or one bot of it, such as ``telegram:sales``."""
    assistant: str
    workspace: str = ""
    channel: str = ""
    topic: str = ""
    choices: tuple[str, ...] = ()
    """Names of the assistants that people may choose there, besides the route's own."""


@dataclass(frozen=True, slots=True)
class Bot:
    """One more bot on a platform, beside the unnamed one that the platform's own settings describe."""

    platform: str
    name: str
    settings: PlatformSettings
    """The platform's settings with this bot's own values, such as its token; an instance of the platform's class. What
    makes a bot (its tokens and secrets) is never taken from the unnamed one."""
    assistant: str = DEFAULT_ASSISTANT
    """The assistant that answers where no route leads to another."""


@dataclass(frozen=True, slots=True)
class McpServerDefinition:
    """One server of tools by the Model Context Protocol: either ``url`` or ``command`` is set."""

    name: str
    url: str = ""
    """The address of a streamable HTTP server."""
    command: tuple[str, ...] = ()
    """The program and arguments of a stdio server."""
    headers: Mapping[str, SecretStr] = field(default_factory=lambda: MappingProxyType({}))
    """Sent with each request to ``url``."""
    env: Mapping[str, SecretStr] = field(default_factory=lambda: MappingProxyType({}))
    """Variables of the environment of ``command``, beside those that programs need (PATH, HOME)."""
    allow: tuple[str, ...] | None = None
    """The tools that may be called, by the server's names; None: all."""
    approve: tuple[str, ...] = ()
    """The tools whose calls somebody has to approve, by the server's names; ``*``: all."""
    approvers: tuple[str, ...] = ()
    """Who may approve, see ``gateway.domain.approvals``. There is one if anything has to be approved."""
    hosted: bool = False
    """Whether the assistant's server calls the tools itself, where it can (``responses``)."""
    timeout: float | None = None
    """Seconds that a call may take; None: as for any tool."""

    def approvers_of(self, tool: str) -> tuple[str, ...]:
        """Returns who may approve a call of a tool, by the server's name for it; empty: nobody has to."""
        return self.approvers if tool in self.approve or ALL_TOOLS in self.approve else ()


def secrets_in(url: str) -> Iterator[str]:
    """Yields what may be secret in an address: a password, and the values of its query."""
    parts = urlsplit(url)
    yield parts.password or ""
    yield from (value for _, value in parse_qsl(parts.query))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of ``/chat`` that is bound to assistants. It is valid besides those of ``GATEWAY_API_KEYS``."""

    name: str
    """What the operator calls it, for pages and logs; the key itself is shown nowhere."""
    key: SecretStr
    assistants: tuple[str, ...]
    """The assistants that it may use; the first is the one of requests that name none."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that the environment and the file say together. Names in it refer to what is there."""

    assistants: Mapping[str, AssistantDefinition]
    """By name. ``DEFAULT_ASSISTANT`` is always there."""
    routes: Sequence[RouteRule] = ()
    bots: Sequence[Bot] = ()
    mcp_servers: Mapping[str, McpServerDefinition] = field(default_factory=lambda: MappingProxyType({}))
    keys: Sequence[ApiKey] = ()

    @classmethod
    def of(cls, settings: Settings) -> Configuration:
        """Returns what the environment alone describes: one assistant, with all tools."""
        return cls({DEFAULT_ASSISTANT: AssistantDefinition(DEFAULT_ASSISTANT, settings)})

    def secrets(self) -> Iterator[str]:
        """Yields every secret value in it, for the log to mask."""
        for settings in (*(each.settings for each in self.assistants.values()), *(bot.settings for bot in self.bots)):
            yield from settings.secrets()
        for server in self.mcp_servers.values():
            for value in (*server.headers.values(), *server.env.values()):
                yield value.get_secret_value()
                yield value.get_secret_value().rpartition(" ")[2]  # a token after its scheme, such as Bearer
            yield from secrets_in(server.url)
        yield from (each.key.get_secret_value() for each in self.keys)

    @property
    def default(self) -> AssistantDefinition:
        return self.assistants[DEFAULT_ASSISTANT]

    def find(self, name: str) -> AssistantDefinition | None:
        """Returns the assistant with this name or alias, in capitals or small letters; for an empty name the default.

        Returns None for a name that there is not.
        """
        name = name or DEFAULT_ASSISTANT
        if (exact := self.assistants.get(name)) is not None:
            return exact
        wanted = name.casefold()
        named = (each for each in self.assistants.values() if each.name.casefold() == wanted)
        known_as = (each for each in self.assistants.values() if wanted in map(str.casefold, each.aliases))
        return next(named, None) or next(known_as, None)

    def assistant_of_bot(self, name: str) -> str:
        """Returns the name of the assistant of the bot with this ``Adapter.name``: who answers where no route leads."""
        return next((bot.assistant for bot in self.bots if bot.settings.name == name), DEFAULT_ASSISTANT)

    def key(self, key: str) -> ApiKey | None:
        """Returns the bound key with this value; None for one that may use all assistants, or that there is not."""
        sent = key.encode()
        same = (each for each in self.keys if hmac.compare_digest(each.key.get_secret_value().encode(), sent))
        return next(same, None)


class CurrentConfiguration:
    """Holds the configuration that is in force. A reload replaces it as a whole; any thread may read it."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def get(self) -> Configuration:
        """Returns what is in force now. Call it again for each message, as it may change between two."""
        return self._configuration

    def replace(self, configuration: Configuration) -> None:
        """Puts another one into force. What is running keeps the one that it began with."""
        self._configuration = configuration
