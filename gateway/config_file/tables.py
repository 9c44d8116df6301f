"""The tables of ``gateway.toml`` beside ``[settings]``: which keys they have, and what may stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from gateway.config_file.problems import Table
from gateway.settings.values import NO_SERVER_URL, OwnKey, split_server_url

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def check_name(name: str) -> str:
    """Raises ValueError for what cannot be the name of an assistant, a bot or a server."""
    if not NAME.fullmatch(name):
        raise ValueError("must be 1 to 40 letters, digits, - and _, and begin with a letter or digit")
    return name


def _one_key(key: SecretStr) -> SecretStr:
    if "," in key.get_secret_value() or not key.get_secret_value():
        raise ValueError("must be one key: write a table for each")
    return key


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, Field(min_length=1)]
Texts = tuple[Text, ...]
Id = Annotated[Text, BeforeValidator(_number_as_text), WithJsonSchema({"type": ["string", "integer"], "minLength": 1})]
"""An id of a platform. Some are numbers, which may be written as such."""
Name = Annotated[str, AfterValidator(check_name)]


class AssistantTable(Table):
    """An assistant. Its other keys are settings, see ``gateway.config_file.assistants``."""

    model_config = ConfigDict(extra="ignore")

    instructions_file: Path | None = None
    """A text file with the instructions, beside this file. In place of ``instructions``."""
    tools: Texts | None = None
    """What the assistant may call: hosted tools, function tools, and ``mcp:NAME`` for all tools of a server. Unset: the
    hosted tools of OPENAI_TOOLS and all function tools."""
    fallback: Texts = ()
    """Assistants that are asked instead, in this order, while this one is unavailable and nothing was shown yet."""
    aliases: tuple[Name, ...] = ()
    """Further names by which people and callers may ask for it."""


class McpTable(Table):
    """A server of tools by the Model Context Protocol."""

    url: Text | None = None
    """The address of a streamable HTTP server. Either this or ``command`` is set."""
    command: Texts = ()
    """A program and its arguments, which is started and spoken to over stdin and stdout."""
    headers: Mapping[str, SecretStr] = {}
    """Sent with each request to ``url``."""
    env: Mapping[str, SecretStr] = {}
    """Variables of the environment of ``command``."""
    allow: Texts | None = None
    """The tools that may be called. Unset: all."""
    approve: Texts = ()
    """The tools whose calls somebody has to approve; ``*`` for all."""
    approvers: Texts = ()
    """Who may approve, and nobody else: ``asker`` (who wrote the message), ``platform:user``, ``key:NAME`` (of an API
    key), ``operators``."""
    hosted: bool = False
    """Whether the assistant's server calls the tools itself, where it can (``responses``)."""
    timeout: PositiveFloat | None = None
    """Seconds that a call may take. Unset: TOOL_TIMEOUT_SECONDS."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.url is None) == (not self.command):
            raise ValueError("needs either url or command")
        if self.url is not None and split_server_url(self.url) is None:
            raise ValueError(f"url {NO_SERVER_URL}")
        stray = "env" if self.url is not None and self.env else "headers" if self.command and self.headers else ""
        if stray:
            raise ValueError(f"{stray} belongs to a server with {'command' if stray == 'env' else 'url'}")
        if self.hosted and self.command:
            raise ValueError("hosted needs url: the assistant's server cannot reach a program here")
        if self.hosted and self.approve:
            raise ValueError("approve cannot be with hosted: the assistant's server would call the tools by itself")
        return self


class ToolTable(Table):
    """A function tool: built in, of a package, or of TOOLS_PATH."""

    approve: bool = False
    """Whether somebody has to approve its calls."""
    approvers: Texts = ()
    """Who may approve, and nobody else: ``asker`` (who wrote the message), ``platform:user``, ``key:NAME`` (of an API
    key), ``operators``."""


class RouteTable(Table):
    """Leads messages to an assistant. The most specific route wins: topic, channel, workspace, platform."""

    platform: Text
    """The platform that the messages come from."""
    workspace: Id | None = None
    """A workspace, team or server there. Unset: any."""
    channel: Id | None = None
    """A channel or chat. Unset: any."""
    topic: Id | None = None
    """A thread or topic of the channel. Unset: any."""
    assistant: Text
    """The assistant that answers."""
    choices: Texts = ()
    """Assistants that people may choose there by ``/assistant NAME``, besides that one."""

    @model_validator(mode="after")
    def _has_channel_of_topic(self) -> Self:
        if self.topic is not None and self.channel is None:
            raise ValueError("topic needs channel: topics of different channels have the same ids")
        return self


class BotTable(Table):
    """One more bot on a platform. Its other keys are settings of the platform, without its name before them."""

    model_config = ConfigDict(extra="allow")

    platform: Text
    """The platform that the bot is on."""
    name: Name
    """Part of the addresses that the platform calls."""
    assistant: Text | None = None
    """The assistant that answers where no route leads to another. Unset: ``default``."""


class KeyTable(Table):
    """A key of ``/chat`` that may use some assistants only. Those of GATEWAY_API_KEYS may use all."""

    name: Name
    """What you call it; the key itself is shown nowhere."""
    key: Annotated[OwnKey, AfterValidator(_one_key)]
    """The key."""
    assistants: Annotated[Texts, Field(min_length=1)]
    """The assistants that it may use; the first one answers where none is asked for."""
