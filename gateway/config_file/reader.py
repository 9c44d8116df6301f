"""Reads a whole file: assistants, routes, bots, tool servers and keys, and what they say of each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from gateway.config_file.approvals import TOOLS, ApproverReader
from gateway.config_file.assistants import AssistantReader, ToolNames
from gateway.config_file.names import ASSISTANTS, AssistantNames
from gateway.config_file.problems import ProblemList
from gateway.config_file.tables import BotTable, KeyTable, McpTable, RouteTable, check_name
from gateway.configuration import (
    DEFAULT_ASSISTANT,
    ApiKey,
    AssistantDefinition,
    Bot,
    Configuration,
    McpServerDefinition,
    RouteRule,
)
from gateway.domain.bots import bot_name
from gateway.domain.errors import SettingsError
from gateway.settings import EnvironmentSettings, wrong_values
from gateway.settings.platforms import TOKEN, PlatformSettings
from gateway.settings.sources import TABLE, Unreadable, as_text
from gateway.settings.toml_file import Key, TomlFile, nearest

MCP, ROUTES, BOTS, KEYS = "mcp", "routes", "bots", "keys"
TABLES = (TABLE, ASSISTANTS, MCP, TOOLS, ROUTES, BOTS, KEYS)
Platforms = Mapping[str, type[EnvironmentSettings] | None]
"""The settings of each platform; None for one that has none."""


def read_configuration(
    file: TomlFile, platforms: Platforms, setting_names: Collection[str], function_tools: ToolNames
) -> Configuration:
    """Returns what a file describes. Raises SettingsError with a line for each problem.

    The table ``[settings]`` is read by the classes of settings, whose names are ``setting_names``. ``function_tools``
    is only called if an assistant names one.
    """
    reader = _Reader(ProblemList(file), platforms, function_tools)
    reader.reject_unknown(setting_names)
    configuration = reader.read()
    reader.problems.raise_all()
    return configuration


class _Reader:
    def __init__(self, problems: ProblemList, platforms: Platforms, function_tools: ToolNames) -> None:
        self.problems = problems
        self._data = problems.file.data
        self._platforms = platforms
        self._function_tools = function_tools
        tables = self._tables(ASSISTANTS)
        self._names = AssistantNames(problems, tables)
        self._approvers = ApproverReader(problems, platforms, tuple(self._key_names()), function_tools)
        self._assistant_tables = {DEFAULT_ASSISTANT: {}, **tables}

    def reject_unknown(self, setting_names: Collection[str]) -> None:
        """Tells which tables are none."""
        for name in self._data.keys() - {*TABLES}:
            is_setting = name.lower() in setting_names
            near = f"write it below a line [{TABLE}]." if is_setting else f"is no table.{nearest(name, TABLES)}"
            self.problems.add((name,), near)

    def read(self) -> Configuration:
        """Returns what could be read."""
        servers, approvers = dict(self._servers()), dict(self._approvers.read(self._tables(TOOLS)))
        return Configuration(
            {each.name: replace(each, tool_approvers=approvers) for each in self._assistants(servers)},
            tuple(self._routes()),
            tuple(self._bots()),
            servers,
            tuple(self._keys()),
        )

    # ------------------------------------------------------------ tables

    def _tables(self, name: str) -> Mapping[str, Any]:
        """Returns the tables ``[name.…]`` by their own names."""
        value = self._data.get(name, {})
        if isinstance(value, dict):
            return value
        self.problems.add((name,), f"must be tables: write [{name}.NAME].")
        return {}

    def _array(self, name: str) -> Iterator[tuple[Key, Any]]:
        """Yields the tables ``[[name]]``, with their places."""
        value = self._data.get(name, [])
        if isinstance(value, list):
            yield from (((name, place), each) for place, each in enumerate(value))
        else:
            self.problems.add((name,), f"must be tables in an array: write [[{name}]].")

    def _reject_twice(self, key: Key, what: object, seen: dict[object, Key], sentence: str) -> None:
        if (first := seen.setdefault(what, key)) != key:
            self.problems.add(key, f"{sentence} in line {self.problems.file.line_of(first)} as well.")

    # ------------------------------------------------------------ what they describe

    def _assistants(self, servers: Collection[str]) -> Iterator[AssistantDefinition]:
        reader = AssistantReader(self.problems, self._function_tools, servers)
        for name, table in self._assistant_tables.items():
            if (found := reader.read(name, table)) is not None:
                key = (ASSISTANTS, name, "fallback")
                yield replace(found, fallback=self._names.resolve_all(key, found.fallback, other_than=(name,)))

    def _servers(self) -> Iterator[tuple[str, McpServerDefinition]]:
        for name, value in self._tables(MCP).items():
            try:
                check_name(name)
            except ValueError as exc:
                self.problems.add((MCP, name), f"{exc}.")
            table = self.problems.parse(McpTable, (MCP, name), value)
            if table is not None:
                self._approvers.check((MCP, name), table)
            yield name, _server(name, table or McpTable(url="http://localhost"))

    def _routes(self) -> Iterator[RouteRule]:
        seen: dict[object, Key] = {}
        known = (*self._platforms, *self._bot_names())
        for key, value in self._array(ROUTES):
            if (table := self.problems.parse(RouteTable, key, value)) is None:
                continue
            if table.platform not in known:
                self.problems.unknown((*key, "platform"), "platform", table.platform, known)
            assistant = self._names.resolve((*key, "assistant"), table.assistant)
            choices = self._names.resolve_all((*key, "choices"), table.choices)
            place = (table.workspace or "", table.channel or "", table.topic or "")
            self._reject_twice(key, (table.platform, *place), seen, "the same place has a route")
            yield RouteRule(table.platform, assistant, *place, tuple(each for each in choices if each != assistant))

    def _keys(self) -> Iterator[ApiKey]:
        names: dict[object, Key] = {}
        keys: dict[object, Key] = {}
        for key, value in self._array(KEYS):
            if (table := self.problems.parse(KeyTable, key, value)) is None:
                continue
            self._reject_twice(key, table.name.casefold(), names, "this name stands")
            self._reject_twice(key, table.key.get_secret_value(), keys, "this key stands")
            yield ApiKey(table.name, table.key, self._names.resolve_all((*key, ASSISTANTS), table.assistants))

    def _key_names(self) -> Iterator[str]:
        for _, value in self._array(KEYS):
            if isinstance(value, dict):
                yield str(value.get("name"))

    # ------------------------------------------------------------ bots

    def _bots(self) -> Iterator[Bot]:
        names: dict[object, Key] = {}
        tokens: dict[object, Key] = {}
        for key, value in self._array(BOTS):
            table = self.problems.parse(BotTable, key, value)
            settings = None if table is None else self._bot_settings(key, table)
            if table is None or settings is None:
                continue
            self._reject_twice(key, (table.platform, table.name.casefold()), names, "a bot with this name stands")
            if token := getattr(settings, settings.token_setting()):
                self._reject_twice(key, token, tokens, "the bot with this token stands")
                if token == getattr(type(settings)(), settings.token_setting()):
                    self.problems.add((*key, TOKEN), "is that of the bot without a name.")
            assistant = self._names.resolve((*key, "assistant"), table.assistant or DEFAULT_ASSISTANT)
            yield Bot(table.platform, table.name, settings, assistant)

    def _bot_names(self) -> Iterator[str]:
        """Yields what routes may call the bots."""
        for _, value in self._array(BOTS):
            match value:
                case {"platform": str(platform), "name": str(name)}:
                    yield bot_name(platform, name)

    def _bot_settings(self, key: Key, table: BotTable) -> PlatformSettings | None:
        """Returns the platform's settings for a bot; tells what is wrong with them."""
        settings = self._platforms.get(table.platform)
        if settings is None or not issubclass(settings, PlatformSettings):
            known = [name for name, each in self._platforms.items() if each and issubclass(each, PlatformSettings)]
            self.problems.unknown((*key, "platform"), "platform with bots", table.platform, known)
            return None
        short = {settings.key(name): name for name in settings.model_fields}
        values: dict[str, Any] = {name: settings.model_fields[name].default for name in settings.bot_settings}
        for name, value in (table.model_extra or {}).items():
            text = as_text(value, settings.lists.get(short.get(name, "")))
            if name not in short:
                self.problems.add((*key, name), f"is not known here.{nearest(name, short)}")
            elif isinstance(text, Unreadable):
                self.problems.add((*key, name), f"{text.reason}.")
            else:
                values[short[name]] = text
        return self._valid_bot(key, table, settings, values)

    def _valid_bot(
        self, key: Key, table: BotTable, settings: type[PlatformSettings], values: Mapping[str, Any]
    ) -> PlatformSettings | None:
        try:
            bot = settings.of_bot(table.name, values)
            if bot.on:
                return bot
            self.problems.add(key, "needs a token.")
        except ValidationError as exc:
            for name, what in wrong_values(exc):
                self.problems.add((*key, settings.key(name)), what)
        except SettingsError as exc:
            self.problems.add(key, str(exc))
        return None


def _server(name: str, table: McpTable) -> McpServerDefinition:
    values = {field: value for field, value in table if field != "url"}
    return McpServerDefinition(name, table.url or "", **values)
