"""What an adapter may call while it delivers one turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from gateway.coordination.file_spool import FileSpool
from gateway.coordination.lease import LeaseGuard
from gateway.coordination.rate_limiter import RateLimiter
from gateway.domain.bots import is_named
from gateway.domain.errors import AssistantRefused, AssistantUnavailable
from gateway.domain.files import Content, File
from gateway.domain.models import Message
from gateway.domain.passed_files import source_of
from gateway.ports.leased_writes import SetPostedMessages
from gateway.ports.platform import Adapter, FetchesAttachments
from gateway.ports.token_buckets import Rate
from gateway.worker.answering.assistants import Assistants

ASSISTANT_IS_GONE = "the assistant that made the file is not set up any more"
NO_ADAPTERS: Mapping[str, Adapter] = MappingProxyType({})
MAX_FILE_BYTES = 50 * 2**20
"""Of a file that the assistant made. No backend returns more of one."""


class WorkerDeliveryContext:
    """Implements ``gateway.ports.platform.DeliveryContext``."""

    def __init__(
        self,
        rate_limiter: RateLimiter,
        assistants: Assistants,
        spool: FileSpool,
        lease_guard: LeaseGuard,
        adapters: Mapping[str, Adapter] = NO_ADAPTERS,
    ) -> None:
        """``adapters``: by name, of the platforms from which files are passed on."""
        self._rate_limiter = rate_limiter
        self._assistants = assistants
        self._spool = spool
        self._lease_guard = lease_guard
        self._adapters = adapters
        name = lease_guard.claim.turn.message.key.platform
        self._own = f"{name} " if is_named(name) else ""
        """Before the names of buckets: what a platform allows, it allows each bot."""
        self._saved = lease_guard.claim.turn.posted_messages
        self.first_attempt = lease_guard.claim.first_attempt
        self.posted_messages = self._saved
        self.is_delivering = False
        """Whether the outcome is being delivered: what is posted then may wait for the finish of the turn."""

    @property
    def unsaved(self) -> tuple[str, ...] | None:
        """What is posted, if it is still to be committed."""
        return None if self.posted_messages == self._saved else self.posted_messages

    async def save_progress(self, posted_messages: Sequence[str]) -> None:
        self.posted_messages = tuple(posted_messages)
        await self.commit()
        await self._lease_guard.assert_held()  # the adapter posts next, which cannot be undone

    async def save_posted(self, posted_messages: Sequence[str]) -> None:
        if self.is_delivering:
            self.posted_messages = tuple(posted_messages)
        else:
            await self.save_progress(posted_messages)

    async def commit(self) -> None:
        """Commits what is posted, if it is not yet. Raises LeaseLost."""
        posted = self.unsaved
        if posted is not None:
            await self._lease_guard.write(partial(SetPostedMessages, posted_messages=posted))
            self._saved = posted

    @asynccontextmanager
    async def read_file(self, file: File) -> AsyncIterator[Content]:
        await self.commit()
        if (source := source_of(file)) is not None:
            async with self._read_passed(source) as passed:
                yield passed
            return
        with self._assistants.using(self._lease_guard.claim.turn.assistant) as running:
            if running is None:
                raise AssistantRefused(ASSISTANT_IS_GONE, code="file_gone")
            async with self._spool.kept(partial(running.fetch_file, file), MAX_FILE_BYTES) as content:
                yield content

    @asynccontextmanager
    async def _read_passed(self, source: Message) -> AsyncIterator[Content]:
        """Gives the content of a file that a member of the staff has posted. Raises AssistantUnavailable."""
        adapter = self._adapters.get(source.key.platform)
        if not isinstance(adapter, FetchesAttachments):
            raise AssistantRefused(f"{source.key.platform} is not set up any more", code="file_gone")
        with closing(self._spool.open_turn()) as spool:
            turn = replace(self._lease_guard.claim.turn, message=source)
            (found,) = await adapter.fetch_attachments(turn, spool)
            if found.problem:
                raise AssistantUnavailable(f"the staff's file {found.file.name}: {found.problem}")
            yield found.content

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        await self.commit()
        taken = await self._rate_limiter.acquire(self._own + bucket, rate, max_wait=max_wait)
        if taken:  # the adapter sends a request next, which cannot be undone
            await self._lease_guard.assert_held()
        return taken

    async def block_for(self, bucket: str, seconds: float) -> None:
        await self._rate_limiter.block_for(self._own + bucket, seconds)
