"""Collects what is wrong with a file, so that everything is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.domain.errors import SettingsError
from gateway.settings.toml_file import Key, TomlFile, nearest
from gateway.settings.wording import what_is_wrong

UNKNOWN_KEY = "extra_forbidden"
"""The type of pydantic's error for it."""


class Table(BaseModel):
    """A table of the file. Its docstrings are those of the schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


AnyTable = TypeVar("AnyTable", bound=Table)


class ProblemList:
    """What is wrong with one file."""

    def __init__(self, file: TomlFile) -> None:
        self.file = file
        self._found: list[tuple[int, str]] = []
        """With their lines in the file."""

    def __len__(self) -> int:
        return len(self._found)

    def add(self, key: Key, what: str) -> None:
        """Adds a sentence about a value."""
        self._found.append((self.file.line_of(key), self.file.error(key, what)))

    def unknown(self, key: Key, kind: str, name: str, known: Iterable[str]) -> None:
        """Adds that a name is not known, with the nearest one."""
        self.add(key, f"there is no {kind} {name[:60]!r}.{nearest(name, known)}")

    def parse(self, table: type[AnyTable], key: Key, value: object) -> AnyTable | None:
        """Returns a table of the file; None if something is wrong with it."""
        try:
            return table.model_validate(value)
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_context=False, include_input=False):
                where = (*key, *error["loc"])
                if error["type"] == UNKNOWN_KEY:
                    self.add(where, f"is not known here.{nearest(str(error['loc'][-1]), table.model_fields)}")
                else:
                    self.add(where, what_is_wrong(error))
            return None

    def raise_all(self) -> None:
        """Raises SettingsError with a line for each problem, if there is one."""
        if self._found:
            raise SettingsError("\n".join(dict.fromkeys(what for _, what in sorted(self._found))))
