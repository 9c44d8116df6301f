"""Telegram as a platform of the gateway: the rooms of this package put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import flask

from adapters.telegram import check, explain, files
from adapters.telegram.bot import Calls
from adapters.telegram.door import Door
from adapters.telegram.errand import Run
from adapters.telegram.incoming import Reader
from adapters.telegram.marks import Me
from adapters.telegram.places import NAME
from adapters.telegram.reply import Replies
from adapters.telegram.settings import TelegramSettings
from gateway.messages import Attachment, Shown, Turn
from gateway.ports import Check, Inbox, Outbox, Receipt, Request, Supposed
from gateway.storing import Memory


class TelegramAdapter:
    """One bot."""

    name = NAME

    def __init__(self, settings: TelegramSettings, memory: Memory, run: Run) -> None:
        """``run``: how to run a coroutine to its end, where no loop runs. Raises SettingsError."""
        self._settings = settings
        self._calls = Calls(settings)
        self._reader = Reader(settings, Me(int(self._calls.bot_id)))
        self._door = Door(settings, self._reader, memory, run)
        self._replies = Replies(self._calls, settings)

    def receive(self, request: Request) -> Receipt:
        return self._reader.receive(request)

    def suppose(self, supposed: Supposed) -> Receipt:
        return explain.suppose(self._reader, supposed)

    def routes(self, inbox: Inbox) -> flask.Blueprint:
        return self._door.routes(inbox)

    def listen(self, inbox: Inbox) -> None:
        self._door.listen(inbox)

    def hush(self) -> None:
        self._door.hush()

    async def fetch(self, turn: Turn) -> Sequence[Attachment]:
        return await files.fetch(self._calls, turn.message, self._settings.telegram_max_file_bytes)

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        await self._replies.follow(turn, events, outbox)

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        await self._replies.deliver(turn, outbox)

    async def check(self) -> Sequence[Check]:
        return await check.check(self._settings, self._calls)

    async def close(self) -> None:
        await self._calls.close()
