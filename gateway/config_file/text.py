"""Writes TOML: the example, and the effective configuration with secrets masked."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.config_file.assistants import MCP as MCP_TOOL
from gateway.config_file.assistants import SETTINGS
from gateway.config_file.names import ASSISTANTS
from gateway.config_file.reader import BOTS, KEYS, MCP, ROUTES
from gateway.configuration import AssistantDefinition, Bot, Configuration
from gateway.logs import MASK
from gateway.settings import EnvironmentSettings, Settings, given_variables
from gateway.settings.sources import TABLE
from gateway.settings.toml_file import TomlFile
from gateway.settings.values import split_list

EXAMPLE = Path(__file__).with_name("example.toml")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
WIDTH = 110
DEFAULT = "# "
"""Before what is not set."""


def example(classes: Collection[type[EnvironmentSettings]]) -> str:
    """Returns a file with everything that there is, explained; the settings with their defaults as comments."""
    lines = [f"[{TABLE}]"]
    for name, field in _fields(classes):
        meaning = " ".join((field.description or "").replace("``", "`").split())
        lines += ["", *textwrap.wrap(meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"{DEFAULT}{name} = {toml(field.default)}")
    return EXAMPLE.read_text("utf-8") + "\n" + "\n".join(lines) + "\n"


def effective(
    loaded: Collection[EnvironmentSettings], configuration: Configuration, file: TomlFile | None
) -> Iterator[str]:
    """Yields the lines of what is in force, with the place that each setting comes from. Shows no secret."""
    yield "# What is in force. Lines that are comments: the default."
    yield f"[{TABLE}]"
    values = {name: getattr(each, name) for each in reversed(list(loaded)) for name in type(each).model_fields}
    for name, field in _fields([type(each) for each in loaded]):
        line = f"{name} = {toml(values[name])}"
        yield f"{DEFAULT}{line}" if values[name] == field.default else f"{line}{_origin(name, file)}"
    for definition in configuration.assistants.values():
        yield from _table(f"{ASSISTANTS}.{definition.name}", _assistant(definition))
    for server in configuration.mcp_servers.values():
        yield from _table(f"{MCP}.{server.name}", _values(server, "name"))
    for route in configuration.routes:
        yield from _table(f"[{ROUTES}]", _values(route))
    for bot in configuration.bots:
        yield from _table(f"[{BOTS}]", _bot(bot))
    for key in configuration.keys:
        yield from _table(f"[{KEYS}]", _values(key))


def toml(value: Any) -> str:
    """Returns a value as TOML; secrets are masked, and what is unset is empty."""
    if value is None or isinstance(value, SecretStr):
        return '""' if value is None else f'"{MASK}"'
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = (f"{key if BARE_KEY.fullmatch(key) else toml(key)} = {toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _fields(classes: Collection[type[EnvironmentSettings]]) -> Iterator[tuple[str, Any]]:
    """Yields the settings that a file can hold, each once."""
    seen: set[str] = set()
    for cls in classes:
        for name, field in cls.model_fields.items():
            if name not in cls.environment_only and name not in seen:
                seen.add(name)
                yield name, field


def _origin(name: str, file: TomlFile | None) -> str:
    if file is not None and name in file.data.get(TABLE, {}) and not given_variables().sets(name):
        return f"  # {file.path}, line {file.line_of((TABLE, name))}"
    return "  # the environment"


def _assistant(definition: AssistantDefinition) -> Mapping[str, Any]:
    """Returns the values of an assistant that are not defaults, by the names that they have in its table."""
    shown = {key: getattr(definition.settings, setting) for key, setting in SETTINGS.items()}
    defaults = {key: Settings.model_fields[setting].default for key, setting in SETTINGS.items()}
    values = {key: value for key, value in shown.items() if value != defaults[key]}
    hosted = split_list(definition.settings.openai_tools)
    servers = [f"{MCP_TOOL}{name}" for name in definition.mcp_servers]
    functions = definition.function_tools
    tools = {} if functions is None else {"tools": [*hosted, *functions, *servers]}
    return {**values, **tools, "fallback": definition.fallback, "aliases": definition.aliases}


def _bot(bot: Bot) -> Mapping[str, Any]:
    changed = {name: getattr(bot.settings, name) for name in type(bot.settings).model_fields}
    own = {name: value for name, value in changed.items() if value != type(bot.settings).model_fields[name].default}
    named = {bot.settings.key(name): value for name, value in own.items()}
    return {"platform": bot.platform, "name": bot.name, "assistant": bot.assistant, **named}


def _values(described: Any, *without: str) -> Mapping[str, Any]:
    """Returns the fields of a dataclass."""
    return {each.name: getattr(described, each.name) for each in fields(described) if each.name not in without}


def _table(header: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"[{header}]"
    for name, value in values.items():
        if value or value is False or value == 0:
            yield f"{name} = {toml(value)}"
