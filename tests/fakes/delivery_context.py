"""The core in memory, as an adapter sees it while it brings a turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.domain.errors import LeaseLost, Refused
from gateway.domain.models import File
from gateway.ports.store import Rate


@dataclass(eq=False)
class FakeOutbox:
    """``gateway.ports.Outbox``. Every place is free, but in the buckets of ``full``; what is asked for is written down.

    ``before_note``, ``after_note``: awaited around every note, so that a test can break off there.
    """

    fresh: bool = True
    parts: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by reference; any other file is refused."""
    full: set[str] = field(default_factory=set)
    lost: bool = False
    """Whether another process holds the lease by now."""
    taken: list[str] = field(default_factory=list)
    held_off: list[tuple[str, float]] = field(default_factory=list)
    notes: list[tuple[str, ...]] = field(default_factory=list)
    before_note: Callable[[], Awaitable[None]] | None = None
    after_note: Callable[[], Awaitable[None]] | None = None

    async def note(self, parts: Sequence[str]) -> None:
        if self.before_note:
            await self.before_note()
        if self.lost:
            raise LeaseLost
        self.parts = tuple(parts)
        self.notes.append(self.parts)
        if self.after_note:
            await self.after_note()

    async def file(self, file: File) -> bytes:
        try:
            return self.files[file.reference]
        except KeyError:
            raise Refused(f"there is no file {file.name}") from None

    async def take(self, bucket: str, rate: Rate, *, patience: float) -> bool:
        self.taken.append(bucket)
        return bucket not in self.full

    async def hold_off(self, bucket: str, seconds: float) -> None:
        self.held_off.append((bucket, seconds))
