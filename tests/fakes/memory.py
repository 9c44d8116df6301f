"""A key-value store with locks in memory."""

from __future__ import annotations

import threading


class FakeMemory:
    """Implements KeyValueStore; locks last until they are released. ``set_value`` raises ``faults`` first."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.faults: list[Exception] = []
        self._lock = threading.Lock()

    def get_value(self, name: str) -> str | None:
        return self.kept.get(name)

    def set_value(self, name: str, value: str) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.kept[name] = value

    def replace_value(self, name: str, old: str, new: str) -> bool:
        if self.kept.get(name) != old:
            return False
        self.set_value(name, new)
        return True

    def delete_value(self, name: str) -> bool:
        return self.kept.pop(name, None) is not None

    def try_lock(self, name: str, owner: str, seconds: float) -> bool:
        with self._lock:
            if seconds <= 0:
                return self.holders.get(name) == owner and bool(self.holders.pop(name))
            return self.holders.setdefault(name, owner) == owner
