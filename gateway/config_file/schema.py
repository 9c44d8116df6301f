"""The JSON Schema of ``gateway.toml``, made of the classes that read it: editors check and complete with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.config_file.approvals import TOOLS
from gateway.config_file.assistants import SETTINGS
from gateway.config_file.names import ASSISTANTS
from gateway.config_file.problems import Table
from gateway.config_file.reader import BOTS, KEYS, MCP, ROUTES, Platforms
from gateway.config_file.tables import NAME, AssistantTable, BotTable, KeyTable, McpTable, RouteTable, ToolTable
from gateway.settings import EnvironmentSettings, Settings
from gateway.settings.platforms import PlatformSettings
from gateway.settings.sources import TABLE

Json = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE: Json = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
"""A value of the environment, in place of a number or one of some words."""
TEXT: Json = {"type": ["string", "number"]}
EMPTY: Json = {"const": ""}
"""Unset: the default."""


def schema(classes: Collection[type[EnvironmentSettings]], platforms: Platforms) -> Json:
    """Returns the schema."""
    settings = {name: each for cls in classes for name, each in _settings(cls)}
    return {
        "$schema": DRAFT,
        "title": "gateway.toml",
        **_object(
            {
                TABLE: {**_object(settings), "description": "Any setting of the environment, in small letters."},
                ASSISTANTS: _named(_assistant()),
                MCP: _named(_table(McpTable)),
                TOOLS: _named(_table(ToolTable)),
                ROUTES: {"type": "array", "items": _table(RouteTable)},
                BOTS: {"type": "array", "items": _bot(platforms)},
                KEYS: {"type": "array", "items": _table(KeyTable)},
            }
        ),
    }


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _named(table: Json) -> Json:
    return {"type": "object", "propertyNames": {"pattern": f"^{NAME.pattern}$"}, "additionalProperties": table}


def _table(table: type[Table]) -> Json:
    found = table.model_json_schema()
    return {**found, "additionalProperties": False}


def _assistant() -> Json:
    table, settings = _table(AssistantTable), dict(_settings(Settings))
    short = {name: settings[setting] for name, setting in SETTINGS.items()}
    return {**table, "properties": {**short, **table["properties"]}}


def _bot(platforms: Platforms) -> Json:
    table = _table(BotTable)
    own = {
        cls.key(name): each
        for cls in platforms.values()
        if cls is not None and issubclass(cls, PlatformSettings)
        for name, each in _settings(cls)
    }
    return {**table, "properties": {**own, **table["properties"]}}


def _settings(cls: type[EnvironmentSettings]) -> Iterator[tuple[str, Json]]:
    """Yields each name of each setting that a file can hold, with its schema."""
    properties = cls.model_json_schema(by_alias=False)["properties"]
    for name, found in properties.items():
        if name not in cls.environment_only:
            yield from ((each, _setting(found, is_list=name in cls.lists)) for each in cls.names_of(name))


def _setting(found: Mapping[str, Any], *, is_list: bool) -> Json:
    told = {key: found[key] for key in ("description", "default") if found.get(key) is not None}
    value = {key: each for key, each in found.items() if key not in {"title", "description", "default"}}
    kinds = [kind for kind in value.get("anyOf", [value]) if kind.get("type") != "null"]
    is_text = any(kind.get("type") == "string" and "enum" not in kind for kind in kinds)
    more = [TEXT] if is_text else [REFERENCE, EMPTY]
    lists = [{"type": "array", "items": TEXT}] if is_list else []
    return {**told, "anyOf": [*kinds, *more, *lists]}
