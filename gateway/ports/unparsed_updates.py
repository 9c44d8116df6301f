"""The interface to the database for updates of a platform that could not be parsed or processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UnparsedUpdate:
    """An update as the platform sent it. The platform does not send it again, so this is the only copy."""

    platform: str
    workspace: str
    """The bot or workspace that received it."""
    update_id: str
    """The platform's id; unique within the workspace."""
    body: str
    """The update as JSON, with what people wrote."""
    author: str = ""
    """As in ``Message.author``; empty if unknown."""
    channel: str = ""
    """Empty if unknown."""
    error: str = ""
    """Why it could not be parsed."""
    received_at: float = 0.0
    """Seconds since the epoch, by the database's clock, which sets it."""


@dataclass(frozen=True, slots=True)
class UnparsedUpdateCount:
    """How many are stored of a platform."""

    count: int
    newest_at: float | None = None
    """When the newest was received; None if there is none."""


class UnparsedUpdates(Protocol):
    """The stored updates. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def keep(self, update: UnparsedUpdate) -> None:
        """Stores an update. One that is stored already stays as it is."""
        ...

    def count(self, platform: str) -> UnparsedUpdateCount:
        """Counts the updates of a platform."""
        ...

    def by_author(self, platform: str, author: str) -> Sequence[UnparsedUpdate]:
        """Returns the updates of a person, oldest first: those with this author, and those of an unknown author whose
        body contains the person's id.
        """
        ...

    def erase_author(self, platform: str, author: str) -> int:
        """Deletes every update with this author or with the person's id in its body; returns how many.

        The body may quote them even if another person wrote it. An id is looked for as a whole JSON string or number.
        """
        ...

    def erase_older_than(self, age_seconds: float) -> int:
        """Deletes the updates received more than ``age_seconds`` ago; returns how many."""
        ...
