"""The platform adapter of POST /chat: callers are programs, and wait in this process for the outcome of their turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial

from adapters.http import routes
from adapters.http.chat_request import CALLBACK_FIELD, ChatRequestParser
from adapters.http.operations import operations
from adapters.http.settings import NAME, HttpSettings
from adapters.http.uploads import UploadLimits
from gateway.configuration import ApiKey
from gateway.domain.approvals import Approval
from gateway.domain.errors import DeliveryError, MalformedRequest
from gateway.domain.files import Attachment
from gateway.domain.models import Turn, TurnId
from gateway.domain.run_events import PreviewEvent
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.callbacks import AnswerOutbox
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request, SyntheticMessage
from gateway.ports.spool import Spool
from gateway.ports.token_buckets import TokenBuckets
from gateway.ports.uploads import Uploads
from gateway.web.api import views
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.openapi import Operation
from gateway.web.api.request_limit import RequestLimit
from gateway.web.api.routes import Api
from gateway.web.api.stored_files import download
from gateway.web.api.waiting import WaiterRegistry


class HttpAdapter:
    """Callers of /chat. Those that wait are registered in ``waiters``, through which the worker answers them."""

    name = NAME
    names_assistants = True

    def __init__(  # noqa: PLR0913  # the limits of one API
        self,
        settings: HttpSettings,
        buckets: TokenBuckets,
        uploads: Uploads,
        *,
        max_message_chars: int,
        max_waiting: int,
        max_message_file_bytes: int = 50 * 2**20,
        caller_share: float = 1.0,
        ping_seconds: float = 5.0,
        bound_keys: Callable[[], Sequence[ApiKey]] = tuple,
        languages: Languages = ENGLISH_ONLY,
    ) -> None:
        """``max_waiting``: callers at the same time, of which one may be ``caller_share``, see ``SharedPlaces``.
        ``ping_seconds``: the longest time that a stream sends nothing. ``bound_keys``: see ``ChatRequestParser``.
        """
        self.waiters = WaiterRegistry(max_waiting, caller_share)
        self._settings = settings
        self._limit = RequestLimit(settings.chat_requests_per_minute, buckets)
        self._read_limit = CallLimit(settings.chat_reads_per_minute)
        self._ping_seconds = ping_seconds
        self._uploads = uploads
        self._upload_limits = UploadLimits(settings.chat_max_file_bytes, max_message_file_bytes)
        self.callbacks: AnswerOutbox | None = None
        """Where to leave what is posted to a ``callback_url``; None: that is refused."""
        self.hands_over = False
        """Whether callers may ask for a person."""
        self._parser = ChatRequestParser(
            settings,
            self._check_callback,
            max_message_chars=max_message_chars,
            bound_keys=bound_keys,
            languages=languages,
        )

    def receive(self, request: Request) -> ParsedUpdate:
        return ParsedUpdate((self._parser.parse(request).message,))

    def dry_run(self, message: SyntheticMessage) -> ParsedUpdate:
        return ParsedUpdate((self._parser.dry_run(message),))

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        if turn.message.has_waiting_caller and not self.waiters.has_preview_waiter(turn.id):
            return  # the caller waits for the whole reply; any other may begin to watch later
        await self.waiters.publish_all(turn.id, events)

    async def show_approval(self, turn: Turn, approval: Approval, context: DeliveryContext) -> None:  # noqa: ARG002  # nothing is posted
        """Tells callers that watch here; others learn it when they look."""
        self.waiters.publish_preview(turn.id, approval)

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        """Tells the callers that wait, and stores what is to be posted to a ``callback_url``. Others fetch the turn.

        Raises DeliveryError.
        """
        self.waiters.resolve(turn)
        url = turn.message.address.get(CALLBACK_FIELD)
        if url is None:
            return
        if self.callbacks is None:
            raise DeliveryError("CALLBACK_SIGNING_KEYS is not set any more")
        await self.callbacks.add_answer(turn, url, views.turn_body(turn))

    def _check_callback(self, url: str) -> None:
        """Raises MalformedRequest for an address to which nothing is posted."""
        if self.callbacks is None:
            explanation = "`callback_url` is not available here: CALLBACK_SIGNING_KEYS is not set."
            raise MalformedRequest(explanation, code="invalid_field")
        self.callbacks.check_url(url)

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        limit = self._upload_limits.max_file
        return await spool.receive(turn.message.files, partial(download, self._uploads), max_bytes=limit)

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult("POST /chat", ok=True, detail=self._parser.keys.describe()),)

    def notify_resolved(self, turn_id: TurnId) -> None:
        self.waiters.notify(turn_id)

    def drain(self, grace_seconds: float) -> None:
        """Refuses new callers, and releases those that wait ``grace_seconds`` seconds from now. Their turns go on."""
        self.waiters.close(grace_seconds)

    def api(self, inbox: AsyncInbox) -> Api:
        handlers = routes.ChatRoutes(
            self._settings,
            self._parser,
            self._limit,
            self._read_limit,
            self.waiters,
            inbox,
            self._uploads,
            self._upload_limits,
            self._ping_seconds,
            self.hands_over,
        )
        return routes.api(handlers, self.operations())

    def operations(self) -> Sequence[Operation]:
        secured = bool(self._parser.keys.owners)
        return tuple(replace(operation, requires_api_key=secured) for operation in operations(self._parser.model))
