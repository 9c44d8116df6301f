"""The interface to the database for blocks: people whom an operator does not let use the assistant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.ports.people import PersonId


@dataclass(frozen=True, slots=True)
class Block:
    """A person who is not answered."""

    person: PersonId
    actor: str
    """Who blocked them, as in the audit trail."""
    reason: str = ""
    """For operators; the person is not told."""
    blocked_at: float = 0.0
    """By the database's clock."""
    told_at: float | None = None
    """When they were told; None: they have not written since."""
    refused: int = 0
    """How many messages were refused since."""
    refused_at: float | None = None
    """When the newest of them came."""


class Blocks(Protocol):
    """The blocked people. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def add(self, person: PersonId, actor: str, reason: str = "") -> bool:
        """Blocks a person. False: they were blocked already, and nothing is changed."""
        ...

    def remove(self, person: PersonId) -> bool:
        """Unblocks a person. False: they were not blocked."""
        ...

    def get(self, person: PersonId) -> Block | None: ...

    def listed(self) -> Sequence[Block]:
        """Returns all blocks, newest first."""
        ...

    def version(self) -> str:
        """Returns a text that differs after each change of who is blocked. Reads one row."""
        ...

    def try_tell(self, person: PersonId) -> bool:
        """Returns whether the person is to be told now: True once for each block, in one process of all."""
        ...

    def count_refused(self, counts: Mapping[PersonId, int]) -> None:
        """Adds to the number of messages that were refused."""
        ...
