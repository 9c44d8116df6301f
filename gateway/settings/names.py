"""Finds variables of the environment that look like settings and are none: a misspelt limit limits nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gateway.settings.base import EnvironmentSettings
from gateway.settings.sources import FILE_SUFFIX, TABLE
from gateway.settings.toml_file import TomlFile, nearest

SIMILARITY = 0.9
"""As ``difflib`` counts it: one letter of ten."""
MIN_CHARS = 6
"""Shorter names, such as HOST and PORT, are near too many others."""
OF_KUBERNETES = re.compile(r"\w+_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What it sets in every container, by the names of services: kubernetes.io/docs/concepts/services-networking/service"""


@dataclass(frozen=True, slots=True)
class UnknownNames:
    """Variables that no setting reads."""

    misspelt: Mapping[str, Sequence[str]]
    """With the settings that may be meant, of which none is set."""
    unused: Sequence[str]
    """Those that begin as settings do, and are near none."""


def unknown_names(classes: Collection[type[EnvironmentSettings]], given: Collection[str]) -> UnknownNames:
    """Compares the names of variables that are set with the settings. No I/O."""
    known = {name for each in classes for name in each.variables()}
    foreign = {name for each in classes for name in each.foreign_variables}
    prefixes = tuple(prefix for each in classes for prefix in each.prefixes)
    names = {name for name in (variable.upper() for variable in given) if _base(name) not in known | foreign}
    unset = sorted(known - {_base(variable.upper()) for variable in given})
    misspelt = {name: near for name in sorted(names) if (near := tuple(_near(name, unset, prefixes)))}
    ours = (name for name in sorted(names - misspelt.keys()) if name.startswith(prefixes))
    return UnknownNames(misspelt, tuple(name for name in ours if not OF_KUBERNETES.fullmatch(name)))


def wrong_names_in_file(classes: Collection[type[EnvironmentSettings]], file: TomlFile) -> Sequence[str]:
    """Returns a line for each name in the table ``[settings]`` that is no setting, or not one for a file."""
    table = file.data.get(TABLE, {})
    if not isinstance(table, dict):
        return (file.error((TABLE,), "must be a table: write [settings] on a line of its own."),)
    outside = {name for each in classes for name in each.environment_only}
    known = {name.lower() for each in classes for name in each.variables()} - outside
    wrong = {name: f"is no setting.{nearest(name, known)}" for name in table if name not in known}
    wrong |= dict.fromkeys(outside & table.keys(), "can only be set in the environment.")
    return [file.error((TABLE, name), what) for name, what in wrong.items()]


def _base(name: str) -> str:
    return name.removesuffix(FILE_SUFFIX)


def _near(name: str, settings: Sequence[str], prefixes: tuple[str, ...]) -> Iterator[str]:
    """Yields the settings with the same letters but one or two, or with one word more."""
    base, suffix = _base(name), FILE_SUFFIX if name.endswith(FILE_SUFFIX) else ""
    if len(base) < MIN_CHARS:
        return
    close = get_close_matches(base, settings, cutoff=SIMILARITY)
    if not close and base.startswith(prefixes):
        close = [setting for setting in settings if _lacks_one_word(base.split("_"), setting.split("_"))]
    for setting in close:
        yield setting + suffix


def _lacks_one_word(words: Sequence[str], of: Sequence[str]) -> bool:
    return any([*of[:place], *of[place + 1 :]] == list(words) for place in range(1, len(of)))
