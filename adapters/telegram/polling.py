"""Long polling: one process of all fetches updates, and acknowledges those that are committed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from adapters.base.errors import Rejected, Unreachable
from adapters.base.leased_receiver import LeasedReceiver, Retry
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.errors import Reason
from adapters.telegram.registration import UPDATES, command, delete_webhook, host_of, own_webhook
from adapters.telegram.reply_target import NAME
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.unparsed_update import TelegramUpdateHandler
from adapters.telegram.update_parser import UpdateParser
from gateway import logs
from gateway.domain.errors import SettingsError
from gateway.ports.store import KeyValueStore

LEASE_SECONDS = 11.0
"""After which another process takes over from one that died."""
POLL_SECONDS = 6
"""How long Telegram waits for updates. Less than the lease."""
ANSWER_SECONDS = 10.0
"""How much longer an answer may take."""
BATCH = 100
"""Telegram's maximum."""

CONFLICT = (
    "another program fetches the updates of this bot: a gateway on another database, or one with the same token. "
    "Stop it; retrying"
)
WEBHOOK = (
    "updates not fetched, because Telegram sends them to a webhook. Run %s to fetch them, or set %s to receive them by "
    "webhook; retrying"
)
NOT_FETCHED = "updates not fetched; retrying"

log = logs.get_logger(__name__)


class PollingClient(TelegramClient):
    """Telegram's API with the call that polls."""

    async def updates(self, offset: int | None, seconds: int) -> list[Any]:
        """Returns updates from ``offset`` on, as JSON. Telegram waits up to ``seconds``, and forgets all before them.

        Raises PlatformRateLimited, Unreachable, Rejected.
        """
        args = {"offset": offset, "timeout": seconds, "limit": BATCH, "allowed_updates": list(UPDATES)}
        batch = await self._send("getUpdates", args, seconds + ANSWER_SECONDS)
        if not isinstance(batch, list):
            raise Unreachable("Telegram sent no list of updates")
        return batch


class UpdatePoller(LeasedReceiver):
    """Fetches updates. Telegram repeats those that are not acknowledged when it is cancelled."""

    def __init__(
        self,
        settings: TelegramSettings,
        calls: PollingClient,
        memory: KeyValueStore,
        parser: UpdateParser,
        handler: TelegramUpdateHandler,
        retry: Retry,
        *,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: int = POLL_SECONDS,
    ) -> None:
        super().__init__(memory, f"{NAME}:{calls.bot_id}:poll", retry, NOT_FETCHED, lease_seconds=lease_seconds)
        self._settings = settings
        self._calls = calls
        self._parser = parser
        self._handler = handler
        self._poll_seconds = poll_seconds
        self._offset: int | None = None
        """Of the next update to fetch: all before it are committed. None: the oldest that Telegram has."""

    def holds_lease(self) -> bool:
        ours = super().holds_lease()
        if not ours:
            self._offset = None
        return ours

    async def receive(self) -> None:
        """Fetches one batch; the lease is renewed before, as a fetch acknowledges."""
        try:
            await self._fetch()
        except Rejected as exc:
            if exc.reason is Reason.CONFLICT:
                await self._end_conflict()
            raise

    async def _fetch(self) -> None:
        """Fetches a batch and commits the updates one by one. The next fetch begins at one that fails: order is kept.

        Raises DeliveryError, StoreUnavailable, Overloaded.
        """
        for update in await self._calls.updates(self._offset, self._poll_seconds):
            parsed = self._parser.receive_update(update)
            await self._handler.take(parsed)
            self._offset = parsed.payload["update_id"] + 1
            await asyncio.sleep(0)  # a point to be cancelled at

    async def _end_conflict(self) -> None:
        """Deletes the webhook if it is an old one of this gateway's; else logs what to do. Raises DeliveryError."""
        registered = (await self._calls.call("get_webhook_info", delivery=None)).url
        if not registered:
            log.error(CONFLICT)
        elif registered == _own_webhook(self._settings):
            secret = self._settings.where("telegram_webhook_secret")
            await delete_webhook(self._calls)
            log.info("webhook deleted: %s is not set, so updates are fetched", secret)
        else:
            there = command("delete-webhook", self._settings), self._settings.where("telegram_webhook_secret")
            log.error(WEBHOOK, *there, host=host_of(registered))


def _own_webhook(settings: TelegramSettings) -> str | None:
    with suppress(SettingsError):
        return own_webhook(settings)
    return None
