"""Shared values of a backend, in memory instead of the store."""

from __future__ import annotations


class MemorySharedValues:
    """Implements SharedValues for the duration of a test."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def get_value(self, name: str) -> str | None:
        return self.values.get(name)

    async def set_value_if_absent(self, name: str, value: str) -> str:
        return self.values.setdefault(name, value)
