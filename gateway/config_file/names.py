"""The names of the assistants of a file, to which other tables refer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gateway.config_file.problems import ProblemList
from gateway.config_file.tables import check_name
from gateway.configuration import DEFAULT_ASSISTANT
from gateway.settings.toml_file import Key

ASSISTANTS = "assistants"


class AssistantNames:
    """Finds the assistant that a name or an alias stands for, in capitals or small letters."""

    def __init__(self, problems: ProblemList, tables: Mapping[str, Any]) -> None:
        """Tells what is wrong with the names of these assistants."""
        self._problems = problems
        self._names: dict[str, str] = {}
        for name in tables:
            self._add((ASSISTANTS, name), name, name)
        for name, table in tables.items():
            aliases = table.get("aliases") if isinstance(table, dict) else None
            for place, alias in enumerate(aliases if isinstance(aliases, list) else ()):
                self._add((ASSISTANTS, name, "aliases", place), str(alias), name)
        self._names.setdefault(DEFAULT_ASSISTANT, DEFAULT_ASSISTANT)

    def resolve(self, key: Key, name: str) -> str:
        """Returns the name of the assistant that is written at ``key``; tells if there is none."""
        if (found := self._names.get(name.casefold())) is None:
            self._problems.unknown(key, "assistant", name, self._names.values())
        return found or name

    def resolve_all(self, key: Key, names: Sequence[str], *, other_than: Collection[str] = ()) -> tuple[str, ...]:
        """Returns the names of several, each once; tells of those that must not be among them."""
        found = [self.resolve((*key, place), name) for place, name in enumerate(names)]
        for name in dict.fromkeys(found):
            if name in other_than or found.count(name) > 1:
                self._problems.add(key, f"{name} is named twice, or stands for itself.")
        return tuple(dict.fromkeys(found))

    def _add(self, key: Key, name: str, assistant: str) -> None:
        try:
            check_name(name)
        except ValueError as exc:
            self._problems.add(key, f"{exc}.")
        if name.casefold() in self._names or (name.casefold() == DEFAULT_ASSISTANT and assistant != DEFAULT_ASSISTANT):
            self._problems.add(key, f"{name} is also a name of {self._names.get(name.casefold(), DEFAULT_ASSISTANT)}.")
        self._names.setdefault(name.casefold(), assistant)
