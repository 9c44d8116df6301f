"""Reads ``gateway.toml``: its values, with ``${NAME}`` filled in from the environment, and where each is written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from gateway.domain.errors import SettingsError
from gateway.settings.text_file import read_text

Key = tuple[str | int, ...]
"""Where a value is: the names of its tables and its own, and the places in arrays. ``()``: the whole file."""
Variable = Callable[[str], str | None]
"""Returns the value of a variable of the environment; None where it is not set."""

REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_NAME = "write ${NAME} with the name of a variable of the environment, or $${ for these characters."
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
AT_LINE = re.compile(r"(?: \(at line (\d+), column \d+\)| \(at end of document\))$")
"""What tomllib adds to its messages."""
FEW = 12
"""So many names are listed when none is near."""


@dataclass(frozen=True)
class TomlFile:
    """A file as it was read."""

    path: Path
    text: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    """Its values, with those of the environment filled in."""
    filled: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables of the environment that are in it."""

    def secrets(self) -> Iterator[str]:
        """Yields the values of the environment in it that are secret, as their names say."""
        yield from (value for name, value in self.filled.items() if SECRET_NAME.search(name))

    def line_of(self, key: Key) -> int:
        """Returns the line at which a value begins; that of its table where the value is not in the file."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 1)

    def error(self, key: Key, what: str) -> str:
        """Returns a message about a value, without the value."""
        named = ".".join(str(part) for part in key if isinstance(part, str))
        return f"{self.path}, line {self.line_of(key)}: {named}: {what}" if named else f"{self.path}: {what}"

    @cached_property
    def _lines(self) -> Mapping[Key, int]:
        lines: dict[Key, int] = {}
        for key, line in _locate(self.text):
            lines.setdefault(key, line)
        return lines


def read(path: Path, variable: Variable) -> TomlFile:
    """Reads a file. Raises SettingsError, which names each line that is wrong."""
    text = read_text(path).replace("\r\n", "\n")
    try:
        data = _parse(text)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(_what_is_wrong(path, text, str(exc))) from None
    file = TomlFile(path, text, data)
    wrong: list[str] = []
    used: dict[str, str] = {}

    def fill(key: Key, name: str) -> str:
        """Returns the value of a variable; empty, with an error, if there is none."""
        if not VARIABLE_NAME.fullmatch(name):
            wrong.append(file.error(key, NO_NAME))
        elif found := variable(name):
            used[name] = found
        else:
            wrong.append(file.error(key, f"the variable {name} is not set in the environment."))
        return used.get(name, "")

    filled = _fill(data, (), fill)
    if wrong:
        raise SettingsError("\n".join(wrong))
    return TomlFile(path, text, filled, used)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns a sentence with the name that is probably meant; else with all of them, if they are few."""
    names = {each.casefold(): each for each in known}
    letters = sorted(name.casefold())
    swapped = [each for each in names if sorted(each) == letters]  # a pair of letters in the wrong order
    if close := swapped or get_close_matches(name.casefold(), names, 1):
        return f" Do you mean {names[close[0]]}?"
    return f" There are: {', '.join(sorted(names.values()))}." if 0 < len(names) <= FEW else ""


@lru_cache(maxsize=1)  # each class of settings reads the file
def _parse(text: str) -> Mapping[str, Any]:
    return tomllib.loads(text)


def _what_is_wrong(path: Path, text: str, message: str) -> str:
    at = AT_LINE.search(message)
    line = int(at[1]) if at and at[1] else text.rstrip().count("\n") + 1
    return f"{path}, line {line}: {AT_LINE.sub('', message)}."


# ---------------------------------------------------------------- values of the environment


def _fill(value: Any, key: Key, fill: Callable[[Key, str], str]) -> Any:
    """Returns a value with the references in its texts replaced."""
    if isinstance(value, dict):
        return {name: _fill(each, (*key, name), fill) for name, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, (*key, place), fill) for place, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    return REFERENCE.sub(lambda found: "${" if found[0] == "$${" else fill(key, found[1] or ""), value)


# ---------------------------------------------------------------- lines


def _locate(text: str) -> Iterator[tuple[Key, int]]:
    """Yields every key of a valid file with the line of the statement that sets it.

    tomllib does not tell lines. A statement ends at the first end of a line up to which it can be parsed alone.
    """
    table: Key = ()
    arrays: dict[Key, int] = {}
    for number, statement in _statements(text.split("\n")):
        parsed = _parse_alone(statement)
        if statement.lstrip().startswith("["):
            table = _table_of(parsed, arrays)
            yield from ((table[:end], number) for end in range(1, len(table) + 1))
        else:
            yield from ((key, number) for key in _keys(parsed, table) if key != table)


def _statements(lines: list[str]) -> Iterator[tuple[int, str]]:
    start = 0
    while start < len(lines):
        end = start + 1
        while end < len(lines) and _parse_alone("\n".join(lines[start:end])) is None:
            end += 1
        yield start + 1, "\n".join(lines[start:end])
        start = end


def _parse_alone(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _table_of(header: Any, arrays: dict[Key, int]) -> Key:
    """Returns the table that a header opens. ``arrays``: the place of the last table in each array, which it counts."""
    table: Key = ()
    while header:
        ((name, header),) = header.items()
        table = (*table, name)
        if isinstance(header, list):
            arrays[table] = arrays.get(table, -1) + 1
            header = None
        if table in arrays:
            table = (*table, arrays[table])
    return table


def _keys(value: Any, key: Key) -> Iterator[Key]:
    yield key
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _keys(each, (*key, name))
