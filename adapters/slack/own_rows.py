"""Named values and locks that belong to one bot alone."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.bots import is_named
from gateway.ports.store import KeyValueStore


def own_rows(rows: KeyValueStore, name: str) -> KeyValueStore:
    """Returns the rows of the bot with this name; those of the bot without one are called as they always were."""
    return OwnRows(rows, f"{name} ") if is_named(name) else rows


@dataclass(frozen=True, slots=True)
class OwnRows:
    """Implements KeyValueStore."""

    rows: KeyValueStore
    prefix: str
    """Of every name."""

    def get_value(self, name: str) -> str | None:
        return self.rows.get_value(self.prefix + name)

    def set_value(self, name: str, value: str) -> None:
        self.rows.set_value(self.prefix + name, value)

    def replace_value(self, name: str, old: str, new: str) -> bool:
        return self.rows.replace_value(self.prefix + name, old, new)

    def delete_value(self, name: str) -> bool:
        return self.rows.delete_value(self.prefix + name)

    def try_lock(self, name: str, owner: str, seconds: float) -> bool:
        return self.rows.try_lock(self.prefix + name, owner, seconds)
