"""What installed packages offer to the gateway, by entry points of their ``pyproject.toml``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gateway.domain.errors import SettingsError

MAX_REASON_CHARS = 500
"""Limit for the text of an exception."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One entry point of a package, which is not imported yet."""

    name: str
    package: str
    entry_point: EntryPoint

    @property
    def origin(self) -> str:
        """The package and its entry point, for people."""
        return f"the package {self.package} ({self.name} = {self.entry_point.value})"

    def load(self, what: str) -> Any:
        """Imports and returns what is offered, which is ``what``. Raises SettingsError, which names the package."""
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as exc:
            raise self.error(f"has {what} that cannot be imported: {reason_of(exc)}") from exc

    def error(self, what: str) -> SettingsError:
        """Returns the error for a package of which ``what`` is the case."""
        return SettingsError(
            f"T{self.origin[1:]} {what}. Mend or update it, or uninstall it: pip uninstall {self.package}."
        )


def offers(group: str) -> Sequence[Offer]:
    """Returns the entry points of a group, by packages and names. Imports none of them.

    The packages are looked up once for each value of ``sys.path``: one that is installed meanwhile needs a restart.
    """
    found = _all_entry_points(tuple(sys.path)).select(group=group)
    made = (Offer(each.name, str(each.dist.name) if each.dist else "", each) for each in found)
    return sorted(made, key=lambda each: (each.package, each.name))


def offers_by_name(group: str, taken: Collection[str]) -> Mapping[str, Offer]:
    """Returns the entry points of a group of which each must have a name of its own, which is none of ``taken``.

    Raises SettingsError, which names the package.
    """
    by_name: dict[str, Offer] = {}
    for offer in offers(group):
        if offer.name in taken or offer.name in by_name:
            whose = by_name[offer.name].origin if offer.name in by_name else "the gateway itself"
            raise offer.error(f"offers {offer.name!r} in {group}, a name that {whose} has")
        by_name[offer.name] = offer
    return by_name


def reason_of(exc: BaseException) -> str:
    """Returns the kind and the text of an exception in one line of limited length, without a full stop."""
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:MAX_REASON_CHARS].rstrip(": .")


@lru_cache(maxsize=1)
def _all_entry_points(_path: tuple[str, ...]) -> Any:
    """Returns what has ``select``; its type differs between versions of Python.

    It reads the metadata of each package, which takes 10 ms, so all groups share it.
    """
    return entry_points()
