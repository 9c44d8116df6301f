"""Receives webhook requests: verifies and parses them, commits what they say, and only then acknowledges them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.base.inbound import Receive
from adapters.base.update_handler import Take
from gateway import logs
from gateway.domain.errors import Unauthenticated
from gateway.ports.platform import Request, Webhook, WebhookResponse

MAX_BODY_BYTES = 1024 * 1024
JSON = {"Content-Type": "application/json"}

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """Answers the requests that one platform sends. Knows no web framework."""

    receive: Receive
    take: Take
    """Commits. When it returns, the platform may forget the request."""
    secret_setting: str
    """The setting that requests are verified with, for the log."""

    def at(self, *paths: str) -> Sequence[Webhook]:
        return tuple(Webhook(path, MAX_BODY_BYTES, self.handle) for path in paths)

    async def handle(self, request: Request) -> WebhookResponse:
        """See ``Webhook.handle``. An error that it raises leaves the request with the platform, to be sent again."""
        try:
            update = self.receive(request)
        except Unauthenticated as exc:
            log.info("webhook request refused; check this setting", setting=self.secret_setting, error=str(exc))
            raise
        await self.take(update)
        return WebhookResponse(body=update.response_body, headers=JSON if update.response_body else {})
