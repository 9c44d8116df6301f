"""The platform adapter of OpenAI's API: its callers are programs, which wait for their turns or ask for them again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from adapters.openai_api import program_routes, routes
from adapters.openai_api.callers import Callers
from adapters.openai_api.context import ApiContext, KeptObjects
from adapters.openai_api.inline_files import InlineFileKeeper
from adapters.openai_api.repetition import Attempts
from adapters.openai_api.settings import NAME
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import Attachment, PreviewEvent, Turn, TurnId
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request
from gateway.ports.spool import Spool
from gateway.web.api.routes import Api, Route
from gateway.web.api.waiting import DeltaBatcher, WaiterRegistry

SECONDS_BETWEEN_DELTAS = 0.05


class OpenAiAdapter:
    """Callers of ``/v1``. Those that wait are registered in ``waiters``, through which the worker answers them."""

    name = NAME

    def __init__(
        self,
        callers: Callers,
        origins: Sequence[str],
        kept: KeptObjects,
        *,
        max_message_chars: int,
        wait_seconds: float,
        max_waiting: int,
        caller_share: float = 1.0,
        ping_seconds: float = 5.0,
    ) -> None:
        """``origins``: see ``Cors``. ``max_waiting`` and ``caller_share``: see ``SharedPlaces``."""
        self._kept = kept
        self._files = InlineFileKeeper(kept.uploads)
        self.waiters = WaiterRegistry(max_waiting, caller_share)
        self._callers = callers
        self._origins = origins
        self._max_message_chars = max_message_chars
        self._wait_seconds = wait_seconds
        self._ping_seconds = ping_seconds

    def receive(self, request: Request) -> ParsedUpdate:  # noqa: ARG002  # no request is a message by itself
        """Raises MalformedRequest: the routes read requests, which need what is stored beside them."""
        raise MalformedRequest

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        with self.waiters.keeping_text(turn.id):
            pace = DeltaBatcher(partial(self.waiters.publish_preview, turn.id), SECONDS_BETWEEN_DELTAS)
            try:
                async for event in events:
                    pace.add(event)
            finally:
                pace.close()

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        """Tells the callers that wait; the others fetch the turn."""
        self.waiters.resolve(turn)
        await self._files.forget(turn)

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        return await self._files.fetch(turn, spool)

    async def check(self) -> Sequence[CheckResult]:
        count = len(self._callers.keys.owners)
        keys = f"{count} API keys" if count else "open to everybody: GATEWAY_API_KEYS is not set"
        return (CheckResult("OpenAI's API at /v1", ok=True, detail=keys),)

    def notify_resolved(self, turn_id: TurnId) -> None:
        self.waiters.notify(turn_id)

    def drain(self, grace_seconds: float) -> None:
        """Refuses new callers, and releases those that wait ``grace_seconds`` seconds from now. Their turns go on."""
        self.waiters.close(grace_seconds)

    def api(self, inbox: AsyncInbox) -> Api:
        context = ApiContext(
            self._callers,
            self.waiters,
            inbox,
            Attempts(),
            self._max_message_chars,
            self._wait_seconds,
            self._ping_seconds,
        )
        return routes.api(self._routes(context), self._origins)

    def _routes(self, context: ApiContext) -> Sequence[Route]:
        return program_routes.routes(context, self._kept, self._files)
