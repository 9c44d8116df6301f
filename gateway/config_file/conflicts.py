"""Finds what the environment and the file both say, and differently: the environment wins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from gateway.config_file.assistants import SETTINGS
from gateway.config_file.names import ASSISTANTS
from gateway.configuration import DEFAULT_ASSISTANT
from gateway.settings import EnvironmentSettings, Settings, given_variables
from gateway.settings.sources import TABLE, as_text
from gateway.settings.toml_file import Key, TomlFile


def conflicts(file: TomlFile, classes: Collection[type[EnvironmentSettings]]) -> Iterator[str]:
    """Yields a line for each, without the values. The file is valid."""
    given = given_variables()
    told: set[str] = set()
    for cls in classes:
        for name in cls.model_fields:
            variables = [each for each in cls.names_of(name) if given.sets(each)]
            for key, value in _in_file(file, cls, name) if variables else ():
                if variables[0] not in told and _differs(cls, name, as_text(value, cls.lists.get(name))):
                    told.add(variables[0])
                    yield file.error(key, f"{variables[0].upper()} in the environment says otherwise, and wins.")


def _in_file(file: TomlFile, cls: type[EnvironmentSettings], name: str) -> Iterator[tuple[Key, Any]]:
    """Yields the values of a setting in the file, with their places."""
    table: Mapping[str, Any] = file.data.get(TABLE, {})
    yield from (((TABLE, each), table[each]) for each in cls.names_of(name) if each in table)
    if cls is Settings:
        default: Mapping[str, Any] = file.data.get(ASSISTANTS, {}).get(DEFAULT_ASSISTANT, {})
        short = [key for key, setting in SETTINGS.items() if setting == name and key in default]
        yield from (((ASSISTANTS, DEFAULT_ASSISTANT, each), default[each]) for each in short)


def _differs(cls: type[EnvironmentSettings], name: str, text: object) -> bool:
    try:
        return bool(getattr(cls(**{name: text}), name) != getattr(cls(), name))
    except ValidationError:
        return True
