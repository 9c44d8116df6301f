"""The platform adapter of OpenAI's API: its callers are programs, which wait for their turns or ask for them again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from adapters.openai_api import routes
from adapters.openai_api.assistants.running import RunningTurns
from adapters.openai_api.assistants.thread_reads import ThreadReads
from adapters.openai_api.callers import Callers
from adapters.openai_api.context import ApiContext, ApiLimits, KeptObjects
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.inline_files import InlineFileKeeper
from adapters.openai_api.repetition import Attempts
from adapters.openai_api.settings import NAME
from adapters.openai_api.uploaded_files import UploadedFiles
from gateway.domain.errors import MalformedRequest
from gateway.domain.files import Attachment
from gateway.domain.models import Turn, TurnId
from gateway.domain.run_events import PreviewEvent
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request
from gateway.ports.spool import Spool
from gateway.web.api.routes import Api, Route
from gateway.web.api.waiting import WaiterRegistry


class OpenAiAdapter:
    """Callers of ``/v1``. Those that wait are registered in ``waiters``, through which the worker answers them."""

    name = NAME
    names_assistants = True

    def __init__(
        self,
        callers: Callers,
        origins: Sequence[str],
        kept: KeptObjects,
        directory: AssistantDirectory,
        limits: ApiLimits,
        *,
        opens_unknown_threads: bool = False,
    ) -> None:
        """``origins``: see ``Cors``."""
        self.waiters = WaiterRegistry(limits.max_waiting, limits.caller_share)
        self._kept = kept
        self._uploaded_files = UploadedFiles(kept.objects, kept.uploads)
        self._files = InlineFileKeeper(kept.uploads, self._uploaded_files)
        self._callers = callers
        self._origins = origins
        self._directory = directory
        self._limits = limits
        self._opens_unknown_threads = opens_unknown_threads
        self._running = RunningTurns()
        self._reads: ThreadReads | None = None
        """Made when the first request comes: it has threads."""

    def receive(self, request: Request) -> ParsedUpdate:  # noqa: ARG002  # no request is a message by itself
        """Raises MalformedRequest: the routes read requests, which need what is stored beside them."""
        raise MalformedRequest

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        """Publishes the text for callers that stream. They wait before their turn is recorded; the others never ask."""
        if self.waiters.has_preview_waiter(turn.id):
            await self.waiters.publish_all(turn.id, events)

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        """Tells the callers that wait; the others fetch the turn."""
        self._running.forget(turn.id)
        self.waiters.resolve(turn)
        await self._files.forget(turn)

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        return await self._files.fetch(turn, spool)

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult("OpenAI's API at /v1", ok=True, detail=self._callers.keys.describe()),)

    def notify_resolved(self, turn_id: TurnId) -> None:
        self._running.forget(turn_id)
        self.waiters.notify(turn_id)

    def drain(self, grace_seconds: float) -> None:
        """Refuses new callers, and releases those that wait ``grace_seconds`` seconds from now. Their turns go on."""
        self.waiters.close(grace_seconds)

    async def close(self) -> None:
        if self._reads is not None:
            await asyncio.to_thread(self._reads.close)

    def api(self, inbox: AsyncInbox) -> Api:
        context = ApiContext(self._callers, self.waiters, inbox, Attempts(), self._limits)
        return routes.api(partial(self._routes, context), self._origins)

    def _routes(self, context: ApiContext) -> Sequence[Route]:
        from adapters.openai_api.all_routes import all_routes  # noqa: PLC0415  # see there

        self._reads = ThreadReads(self._kept.objects)
        files = self._uploaded_files, self._files
        return all_routes(
            *(context, self._kept, self._directory, *files, self._running, self._reads),
            opens_unknown_threads=self._opens_unknown_threads,
        )
