"""Shared values of a backend, in memory instead of the store."""

from __future__ import annotations


class MemoryFacts:
    """Implements SharedValues for the duration of a test."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def recall(self, name: str) -> str | None:
        return self.kept.get(name)

    async def remember(self, name: str, value: str) -> str:
        return self.kept.setdefault(name, value)
