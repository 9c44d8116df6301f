"""A delivery context in memory, for tests of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.domain.errors import AssistantRefused, LeaseLost
from gateway.domain.files import BytesContent, Content, File
from gateway.ports.token_buckets import Rate


@dataclass(eq=False)
class FakeDeliveryContext:
    """Implements ``gateway.ports.platform.DeliveryContext`` and records its calls.

    A token is available in every bucket except ``exhausted_buckets``. ``before_save``, ``after_save``: awaited before
    and after each ``save_progress``, so that a test can interrupt the delivery there.
    """

    first_attempt: bool = True
    posted_messages: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by reference; ``read_file`` raises AssistantRefused for any other file."""
    exhausted_buckets: set[str] = field(default_factory=set)
    lease_lost: bool = False
    """Whether another process holds the lease now."""
    acquired: list[str] = field(default_factory=list)
    blocked: list[tuple[str, float]] = field(default_factory=list)
    saved_progress: list[tuple[str, ...]] = field(default_factory=list)
    before_save: Callable[[], Awaitable[None]] | None = None
    after_save: Callable[[], Awaitable[None]] | None = None

    async def save_progress(self, posted_messages: Sequence[str]) -> None:
        if self.before_save:
            await self.before_save()
        if self.lease_lost:
            raise LeaseLost
        self.posted_messages = tuple(posted_messages)
        self.saved_progress.append(self.posted_messages)
        if self.after_save:
            await self.after_save()

    async def save_posted(self, posted_messages: Sequence[str]) -> None:
        await self.save_progress(posted_messages)

    @asynccontextmanager
    async def read_file(self, file: File) -> AsyncIterator[Content]:
        if file.reference not in self.files:
            raise AssistantRefused(f"there is no file {file.name}")
        yield BytesContent(self.files[file.reference])

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        self.acquired.append(bucket)
        return bucket not in self.exhausted_buckets

    async def block_for(self, bucket: str, seconds: float) -> None:
        self.blocked.append((bucket, seconds))
