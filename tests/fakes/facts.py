"""Facts in memory: what the store remembers for a backend."""

from __future__ import annotations


class MemoryFacts:
    """Facts that last as long as a test."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def recall(self, name: str) -> str | None:
        return self.kept.get(name)

    async def remember(self, name: str, value: str) -> str:
        return self.kept.setdefault(name, value)
