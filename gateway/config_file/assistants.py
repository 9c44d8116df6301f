"""Reads the tables ``[assistants.NAME]``: each is the settings of the core with some values of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from gateway.assistants import instructions_of
from gateway.assistants.requests.parameters import FIELDS, HOSTED_TOOLS, PARAMETERS
from gateway.config_file.names import ASSISTANTS
from gateway.config_file.problems import ProblemList
from gateway.config_file.tables import AssistantTable
from gateway.configuration import DEFAULT_ASSISTANT, AssistantDefinition
from gateway.domain.errors import SettingsError
from gateway.settings import Settings, given_variables, wrong_values
from gateway.settings.sources import Unreadable, as_text
from gateway.settings.text_file import read_text
from gateway.settings.toml_file import Key, nearest
from gateway.settings.values import BACKENDS

MCP = "mcp:"
INSTRUCTIONS = "instructions"

SETTINGS: Mapping[str, str] = {
    "backend": "assistant_backend",
    "model": "openai_model",
    "instructions": "assistant_instructions",
    "name": "assistant_name",
    "time_zone": "assistant_time_zone",
    "temperature": "openai_temperature",
    "top_p": "openai_top_p",
    "reasoning_effort": "openai_reasoning_effort",
    "verbosity": "openai_verbosity",
    "vector_stores": "openai_vector_store_ids",
    "transcription_model": "openai_transcription_model",
    "assistant_id": "assistant_id",
    "api_key": "openai_api_key",
    "base_url": "openai_base_url",
    "azure_api_key": "azure_openai_api_key",
    "azure_endpoint": "azure_openai_endpoint",
    "azure_api_version": "azure_openai_api_version",
    "mode": "assistant_mode",
    "poll_seconds": "assistant_poll_seconds",
    "timeout_seconds": "assistant_timeout_seconds",
    "tool_timeout_seconds": "tool_timeout_seconds",
    "approval_minutes": "approval_minutes",
    "show_reasoning": "assistant_show_reasoning",
    "history_chars": "history_chars",
    "max_turn_tokens": "max_turn_tokens",
    "max_turn_cost": "max_turn_cost",
    "max_reply_chars": "max_reply_chars",
}
"""The keys that are settings of the core, by the names that they have here."""
SHORT_NAMES = {setting: name for name, setting in SETTINGS.items()}
KEYS = SETTINGS.keys() | AssistantTable.model_fields.keys()
TAKEN_BY = {"vector_stores": ("responses", "threads"), "assistant_id": ("threads",)} | {
    SHORT_NAMES[setting]: tuple(backend for backend, fields in FIELDS.items() if setting in fields)
    for setting in PARAMETERS
}
"""The keys that not every backend takes, with those that do."""
SERVER = frozenset({"base_url", "azure_endpoint"})
"""A key of these puts an assistant at a server of its own."""
OF_AZURE = ("azure_openai_api_key", "azure_openai_endpoint", "azure_openai_api_version")
OF_SERVER = (
    *("assistant_backend", "assistant_id", "openai_model", "openai_transcription_model", "openai_tools"),
    *("openai_vector_store_ids", "openai_api_key", "openai_base_url", *OF_AZURE),
)
"""Settings that belong to a server. Another server must not get its key, and has other models."""


ToolNames = Callable[[], Collection[str]]
"""Returns the names of the function tools that there are. Raises SettingsError."""


class Tools(NamedTuple):
    """The names in ``tools``, by kind."""

    hosted: tuple[str, ...]
    functions: tuple[str, ...] | None
    servers: tuple[str, ...]


class AssistantReader:
    """Reads the assistants of one file."""

    def __init__(self, problems: ProblemList, function_tools: ToolNames, servers: Collection[str]) -> None:
        """``servers``: the names of the MCP servers."""
        self._problems = problems
        self._function_tools = function_tools
        self._servers = servers

    def read(self, name: str, table: Any) -> AssistantDefinition | None:
        """Returns an assistant; None if something is wrong with it."""
        key: Key = (ASSISTANTS, name)
        before = len(self._problems)
        if (parsed := self._problems.parse(AssistantTable, key, table)) is None:
            return None
        self._reject_unknown(key, table)
        values = self._own_values(key, table)
        if parsed.instructions_file is not None:
            values[SETTINGS[INSTRUCTIONS]] = self._instructions(key, table, parsed.instructions_file)
        tools = self._tools(key, parsed.tools)
        if parsed.tools is not None:
            values["openai_tools"] = ",".join(tools.hosted)
        settings = self._settings(name, table, values) if len(self._problems) == before else None
        if settings is None:
            return None
        self._check(key, table, settings, tools)
        return AssistantDefinition(name, settings, tools.functions, tools.servers, parsed.fallback, parsed.aliases)

    def _reject_unknown(self, key: Key, table: Mapping[str, Any]) -> None:
        for name in table.keys() - KEYS:
            near = f" Do you mean {SHORT_NAMES[name]}?" if name in SHORT_NAMES else nearest(name, KEYS)
            self._problems.add((*key, name), f"is not known here.{near}")

    def _own_values(self, key: Key, table: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings in a table as the environment would have them; for empty ones the default."""
        values: dict[str, Any] = {}
        for name in SETTINGS.keys() & table.keys():
            setting = SETTINGS[name]
            text = as_text(table[name], Settings.lists.get(setting))
            if isinstance(text, Unreadable):
                self._problems.add((*key, name), f"{text.reason}.")
            values[setting] = text or Settings.model_fields[setting].default
        return values

    def _instructions(self, key: Key, table: Mapping[str, Any], file: Path) -> str:
        where = (*key, "instructions_file")
        if INSTRUCTIONS in table:
            self._problems.add(where, "there are instructions as well; write one of the two.")
        try:
            return read_text(self._problems.file.path.parent / file.expanduser()).strip()
        except (SettingsError, RuntimeError) as exc:  # RuntimeError: there is no such home directory
            self._problems.add(where, str(exc))
            return ""

    def _tools(self, key: Key, names: tuple[str, ...] | None) -> Tools:
        if names is None:
            return Tools((), None, ())
        servers = [f"{MCP}{server}" for server in self._servers]
        own = [name for name in dict.fromkeys(names) if name not in HOSTED_TOOLS and name not in servers]
        functions = self._function_tools() if own else ()
        for name in own:
            if name not in functions:
                known = {*HOSTED_TOOLS, *functions, *servers}
                self._problems.unknown((*key, "tools", names.index(name)), "tool", name, known)
        return Tools(
            tuple(name for name in HOSTED_TOOLS if name in names),
            tuple(own),
            tuple(name.removeprefix(MCP) for name in dict.fromkeys(names) if name in servers),
        )

    # ------------------------------------------------------------ its settings

    def _settings(self, name: str, table: Mapping[str, Any], own: Mapping[str, Any]) -> Settings | None:
        try:
            return _default_settings(own) if name == DEFAULT_ASSISTANT else _further_settings(name, table, own)
        except ValidationError as exc:
            for setting, what in wrong_values(exc):
                self._problems.add((ASSISTANTS, name, SHORT_NAMES.get(setting, setting)), what)
            return None

    def _check(self, key: Key, table: Mapping[str, Any], settings: Settings, tools: Tools) -> None:
        """Tells what the backend lacks, and what it does not take."""
        backend = settings.backend
        for name in sorted(TAKEN_BY.keys() & table.keys()):
            if backend in BACKENDS and backend not in TAKEN_BY[name]:
                self._problems.add((*key, name), f"the backend {backend} does not take it.")
        for name in tools.hosted:
            if backend not in HOSTED_TOOLS[name]:
                self._problems.add((*key, "tools"), f"the backend {backend} has no {name}.")
        if "file_search" in tools.hosted and not settings.openai_vector_store_ids:
            self._problems.add((*key, "tools"), "file_search needs vector_stores, which it searches.")
        if missing := [SHORT_NAMES.get(name.lower(), name) for name in settings.missing()]:
            self._problems.add(key, f"the backend {backend} needs {' and '.join(missing)}.")
        try:
            instructions_of(settings).check()
        except SettingsError as exc:
            named = INSTRUCTIONS if INSTRUCTIONS in table else "instructions_file"
            self._problems.add((*key, named), str(exc).partition(": ")[2])


def _default_settings(own: Mapping[str, Any]) -> Settings:
    """Returns the settings of the default assistant, over whose own values the environment wins."""
    given = given_variables()
    return Settings(**{name: value for name, value in own.items() if not any(map(given.sets, Settings.names_of(name)))})


def _further_settings(name: str, table: Mapping[str, Any], own: Mapping[str, Any]) -> Settings:
    """Returns the settings of any other assistant: its own values win over those that all share."""
    reset = {setting: Settings.model_fields[setting].default for setting in _not_shared(table)}
    settings = Settings(**{"assistant_name": name, **reset, **own})
    return settings.model_copy(update=dict.fromkeys(_not_taken(settings.backend) - own.keys()))


def _not_taken(backend: str) -> frozenset[str]:
    """Returns the parameters of a model that a backend does not take, or of which nothing is known: a package's."""
    return PARAMETERS - FIELDS.get(backend, {}).keys()


def _not_shared(table: Mapping[str, Any]) -> Iterator[str]:
    """Yields the settings that an assistant does not take over, as it names another server."""
    if SERVER & table.keys():
        yield from OF_SERVER
    elif "api_key" in table:
        yield from OF_AZURE
