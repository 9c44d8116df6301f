"""Unparsed updates in memory."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdateCount


class FakeUnparsedUpdates:
    """Implements UnparsedUpdates, by author only. ``keep`` raises ``faults`` first."""

    def __init__(self) -> None:
        self.kept: list[UnparsedUpdate] = []
        self.faults: list[Exception] = []

    def keep(self, update: UnparsedUpdate) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.kept.append(update)

    def count(self, platform: str) -> UnparsedUpdateCount:
        return UnparsedUpdateCount(len(self.kept), 1.0 if self.kept else None)

    def by_author(self, platform: str, author: str) -> Sequence[UnparsedUpdate]:
        return [update for update in self.kept if update.author == author]

    def erase_author(self, platform: str, author: str) -> int:
        raise NotImplementedError

    def erase_older_than(self, age_seconds: float) -> int:
        raise NotImplementedError
