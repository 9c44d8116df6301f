"""Telegram as a platform of the gateway: the rooms of this package put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from adapters.base.background_task import RunCoroutine
from adapters.telegram import dry_run, files, setup_check
from adapters.telegram.bot import Calls
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.places import NAME
from adapters.telegram.reply import Replies
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.update_parser import UpdateParser
from adapters.telegram.webhook import TelegramReceiver
from gateway.messages import Attachment, Shown, Turn
from gateway.ports import Check, Inbox, Outbox, Receipt, Request, Supposed, Webhook
from gateway.storing import Memory


class TelegramAdapter:
    """One bot."""

    name = NAME

    def __init__(self, settings: TelegramSettings, memory: Memory, run: RunCoroutine) -> None:
        """``run``: runs a coroutine to its end, on an event loop of its own. Raises SettingsError."""
        self._settings = settings
        self._calls = Calls(settings)
        self._parser = UpdateParser(settings, BotIdentity(int(self._calls.bot_id)))
        self._receiver = TelegramReceiver(settings, self._parser, memory, run)
        self._replies = Replies(self._calls, settings)

    def receive(self, request: Request) -> Receipt:
        return self._parser.receive(request)

    def suppose(self, supposed: Supposed) -> Receipt:
        return dry_run.dry_run(self._parser, supposed)

    def webhooks(self, inbox: Inbox) -> Sequence[Webhook]:
        return self._receiver.webhooks(self.receive, inbox)

    def listen(self, inbox: Inbox) -> None:
        self._receiver.listen(inbox)

    def hush(self) -> None:
        self._receiver.hush()

    async def fetch(self, turn: Turn) -> Sequence[Attachment]:
        return await files.fetch(self._calls, turn.message, self._settings.telegram_max_file_bytes)

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        await self._replies.follow(turn, events, outbox)

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        await self._replies.deliver(turn, outbox)

    async def check(self) -> Sequence[Check]:
        return await setup_check.check(self._settings, self._calls)

    async def close(self) -> None:
        await self._calls.close()
