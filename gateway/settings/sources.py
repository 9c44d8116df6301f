"""Where settings come from: the environment, files that it names, ``.env``, and the table ``[settings]`` of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from gateway.domain.errors import SettingsError
from gateway.settings import toml_file
from gateway.settings.toml_file import TomlFile

FILE_SUFFIX = "_FILE"
CONFIG_FILE = "gateway.toml"
CONFIG_VARIABLE = "GATEWAY_CONFIG"
TABLE = "settings"


class Unreadable(NamedTuple):
    """Stands for a value that could not be read, until it is validated."""

    reason: str


class FileSource(EnvSettingsSource):
    """Source that reads ``X`` from the file that ``X_FILE`` names, as container platforms provide secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for key, name, is_complex in self._extract_field_info(field, field_name):
            path = self.env_vars.get(f"{name}_file")
            if path:
                return _read(name, path), key, is_complex
        return None, field_name, False


class TomlSource(PydanticBaseSettingsSource):
    """Source that reads the table ``[settings]`` of a file."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        alias = field.validation_alias
        names = [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [field_name]
        return next((self._values[name] for name in names if self._values.get(name)), None), names[0], False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {key: value for value, key, _ in found if value is not None}


def _read(name: str, path: str) -> str | Unreadable:
    try:
        content = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not UTF-8 text"
        return Unreadable(f"{name.upper()}_FILE names {path}, which cannot be read: {reason}")
    if not content:
        # A secret that has not arrived: as if it were unset, something else would answer, or anybody be let in.
        return Unreadable(f"{name.upper()}_FILE names {path}, which is empty; write the value into it, or unset it")
    return content


class Variables:
    """The variables that are set and not empty, in the environment or in ``.env``."""

    def __init__(self, environment: Mapping[str, str | None], dotenv: Mapping[str, str | None]) -> None:
        """Both by names in small letters."""
        self._environment = environment
        self._dotenv = dotenv

    @property
    def names(self) -> frozenset[str]:
        """Their names, in small letters."""
        return frozenset(name for each in (self._environment, self._dotenv) for name, value in each.items() if value)

    def sets(self, name: str) -> bool:
        """Returns whether a setting has its value from here, also from the file that ``<name>_FILE`` names."""
        return not self.names.isdisjoint({name.lower(), f"{name}{FILE_SUFFIX}".lower()})

    def get(self, name: str) -> str | None:
        """Returns a variable, or what is in the file that ``<name>_FILE`` names.

        Raises SettingsError if that cannot be read.
        """
        name = name.lower()
        if given := self._environment.get(name):
            return given
        if path := self._environment.get(f"{name}{FILE_SUFFIX.lower()}"):
            content = _read(name, path)
            if isinstance(content, Unreadable):
                raise SettingsError(f"{content.reason}.")
            return content
        return self._dotenv.get(name)


def find_config_file(variables: Variables) -> TomlFile | None:
    """Reads the file that ``GATEWAY_CONFIG`` names, else ``gateway.toml`` in the working directory, if it is there.

    Raises SettingsError.
    """
    if named := variables.get(CONFIG_VARIABLE):
        return toml_file.read(_named_path(named.strip()), variables.get)
    path = Path(CONFIG_FILE)
    is_there = os.path.lexists(path)  # also a folder, or a link to nothing, which are mistakes
    return toml_file.read(path, variables.get) if is_there else None


def _named_path(named: str) -> Path:
    """Raises SettingsError where nothing is."""
    try:
        path = Path(named).expanduser()
    except RuntimeError:  # there is no such home directory
        path = Path(named)
    if not os.path.lexists(path):
        raise SettingsError(f"{CONFIG_VARIABLE}: there is no file {path.absolute()}. Create it, or unset the variable.")
    return path


def values_of(file: TomlFile, separators: Mapping[str, str]) -> Mapping[str, str | Unreadable]:
    """Returns the values of the table ``[settings]``, each as the environment would have it.

    ``separators``: what stands between the items of settings that are lists.
    """
    table = file.data.get(TABLE, {})
    given = table.items() if isinstance(table, dict) else ()
    return {name: as_text(value, separators.get(name)) for name, value in given}


def as_text(value: Any, separator: str | None = None) -> str | Unreadable:
    """Returns a value of a file as the environment would have it; a list only if there is a ``separator``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if not isinstance(value, list) or separator is None:
        return Unreadable(f"must be text, a number, true or false{'' if separator is None else ', or a list of texts'}")
    items = [as_text(item) for item in value]
    if any(isinstance(item, Unreadable) or separator in item for item in items):
        return Unreadable(f"must be a list of texts without {separator!r} in them")
    return separator.join(map(str, items))
