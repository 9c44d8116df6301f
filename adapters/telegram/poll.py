"""Long polling: one process of all fetches updates, and acknowledges what is committed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from adapters.base.errors import Rejected, Unreachable
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.errand import PAUSES, Patience, complain
from adapters.telegram.errors import Reason
from adapters.telegram.intake import Intake, id_of
from adapters.telegram.registration import UPDATES, delete_webhook, host_of, own_webhook
from adapters.telegram.reply_target import NAME
from adapters.telegram.settings import TelegramSettings
from gateway import logs
from gateway.errors import SettingsError, StoreUnavailable
from gateway.storing import Memory

LEASE_SECONDS = 11.0
"""After which others go on when a process is gone."""
POLL_SECONDS = 6
"""How long Telegram waits for something to tell. The lease lasts longer."""
ANSWER_SECONDS = 10.0
"""How long an answer may take beyond that."""
BATCH = 100
"""Telegram's most."""

CONFLICT = (
    "somebody else fetches the updates of this bot: a gateway on another database, or another program with its token. "
    "Stop it; it is tried again"
)
WEBHOOK = (
    "updates go to a webhook, so none are given out. Run python -m gateway telegram delete-webhook to fetch them, "
    "or set TELEGRAM_WEBHOOK_SECRET to have them brought; it is tried again"
)

log = logs.get(__name__)


class Fetching(TelegramClient):
    """The calls of who polls."""

    async def updates(self, offset: int | None, seconds: int) -> list[Any]:
        """What Telegram has to tell from ``offset`` on, as JSON, for which it waits so long; all before is forgotten.

        Raises PlatformRateLimited, Unreachable, Rejected.
        """
        args = {"offset": offset, "timeout": seconds, "limit": BATCH, "allowed_updates": list(UPDATES)}
        batch = await self._send("getUpdates", args, seconds + ANSWER_SECONDS)
        if not isinstance(batch, list):
            raise Unreachable("Telegram gave out what are no updates")
        return batch


class Poll:
    """Fetches for as long as no other process does. On a loop of its own: it waits for the database there."""

    def __init__(
        self,
        settings: TelegramSettings,
        calls: Fetching,
        memory: Memory,
        intake: Intake,
        *,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: int = POLL_SECONDS,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._memory = memory
        self._intake = intake
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._patience = Patience(pauses)
        self._lease = f"{NAME}:{calls.bot_id}:poll"
        self._owner = secrets.token_hex(8)
        self._ours = False
        self._offset: int | None = None
        """The update to begin with: all before it are committed. None: with the oldest that Telegram has."""

    async def go_on(self) -> None:
        """Until it is cancelled. What Telegram has shown and we have not acknowledged, it shows again."""
        try:
            while True:
                pause = await self._step()
                await asyncio.sleep(pause)
        finally:
            with suppress(StoreUnavailable):
                self._memory.lease(self._lease, self._owner, 0)

    async def _step(self) -> float:
        """One batch, if it is ours to fetch; the seconds until the next."""
        try:
            if not self._is_ours():
                return self._lease_seconds / 5
            await self._fetch()
        except Rejected as exc:
            await self._explain(exc)
            return self._patience.after(exc)
        except Exception as exc:  # noqa: BLE001  # `complain` tells the known from the rest
            complain("updates are not fetched; it is tried again", exc)
            return self._patience.after(exc)
        self._patience.reset()
        return 0.0

    def _is_ours(self) -> bool:
        """Asked before each fetch, which acknowledges. Raises StoreUnavailable."""
        ours = self._memory.lease(self._lease, self._owner, self._lease_seconds)
        if ours is not self._ours:
            self._ours, self._offset = ours, None
            log.info("updates are fetched here" if ours else "updates are fetched by another process now")
        return ours

    async def _fetch(self) -> None:
        """The next batch, committed one by one. What fails is where the next fetch begins: order is kept.

        Raises DeliveryError, StoreUnavailable, Overloaded.
        """
        for update in await self._calls.updates(self._offset, self._poll_seconds):
            self._intake.take(update)
            self._offset = id_of(update) + 1
            await asyncio.sleep(0)  # where it may be cancelled

    async def _explain(self, exc: Rejected) -> None:
        """Why Telegram gives nothing out, as far as somebody can do something about it."""
        if exc.reason is not Reason.CONFLICT:
            log.error("updates are not given out; it is tried again", error=str(exc))
            return
        try:
            await self._end_conflict()
        except Exception as other:  # noqa: BLE001  # nothing may end the poll
            complain("updates are not given out; it is tried again", other)

    async def _end_conflict(self) -> None:
        """Delete the webhook if it is an old one of ours; say what to do otherwise. Raises DeliveryError."""
        registered = (await self._calls.call("get_webhook_info", outbox=None)).url
        if not registered:
            log.error(CONFLICT)
        elif registered == _own_webhook(self._settings):
            await delete_webhook(self._calls)
            log.info("webhook deleted: TELEGRAM_WEBHOOK_SECRET is not set, so updates are fetched")
        else:
            log.error(WEBHOOK, host=host_of(registered))


def _own_webhook(settings: TelegramSettings) -> str | None:
    with suppress(SettingsError):
        return own_webhook(settings)
    return None
