"""Sets up the receiving half of Telegram for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from pydantic import SecretStr
from werkzeug.test import TestResponse

from adapters.base.background_task import BackgroundTask
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.polling import PollingClient, UpdatePoller
from adapters.telegram.receiver import TelegramReceiver
from adapters.telegram.registration import PATH
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.unparsed_update import TelegramUpdateHandler, identify
from adapters.telegram.update_parser import UpdateParser
from gateway.coordination.retry import Backoff
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import Adapter, Webhook
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates
from gateway.web.asgi_app import create_app
from gateway.worker.worker import run_once
from tests.adapters.app_client import AppClient
from tests.adapters.chat import database_ok, in_thread
from tests.fakes.memory import FakeMemory
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import BOT_ID, SECRET, TOKEN, message_json, update
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.settings import settings_of

BACKOFF = Backoff(0.01, 0.05)
LEASE = 2.0
"""Seconds, of which a fetch takes half."""
HEADER = "X-Telegram-Bot-Api-Secret-Token"
JSON = "application/json"
SOON = 20.0
"""Seconds within which anything happens on a slow machine."""


def settings(telegram: FakeTelegram | None = None, *, secret: str | None = None, **given: Any) -> TelegramSettings:
    """``secret``: of a webhook; without one, updates are fetched."""
    known: dict[str, Any] = {"telegram_bot_token": SecretStr(TOKEN)}
    if secret is not None:
        known["telegram_webhook_secret"] = SecretStr(secret)
    if telegram is not None:
        known["telegram_api_url"] = telegram.url
    return settings_of(TelegramSettings, **{**known, **given})


def by_webhook(telegram: FakeTelegram | None = None, **given: Any) -> TelegramSettings:
    return settings(telegram, secret=SECRET, **given)


class Receiving:
    """The receiving half of the adapter, with short pauses."""

    name = "telegram"

    def __init__(self, known: TelegramSettings, memory: KeyValueStore, unparsed: UnparsedUpdates | None = None) -> None:
        unparsed = FakeUnparsedUpdates() if unparsed is None else unparsed
        self.parser = UpdateParser(known, BotIdentity(BOT_ID))
        self.receiver = TelegramReceiver(
            known, self.parser, memory, unparsed, run_once, TelegramClient(known), backoff=BACKOFF
        )

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        return self.receiver.webhooks(self.parser.receive, inbox)


def make_receiver(known: TelegramSettings, memory: KeyValueStore) -> TelegramReceiver:
    return Receiving(known, memory).receiver


@contextmanager
def listening(receiver: TelegramReceiver, inbox: RecordingInbox) -> Iterator[None]:
    receiver.start_receiving(inbox.inbox)
    try:
        yield
    finally:
        receiver.stop_receiving()


@contextmanager
def polling(
    known: TelegramSettings, memory: KeyValueStore, inbox: RecordingInbox, unparsed: UnparsedUpdates | None = None
) -> Iterator[BackgroundTask]:
    """Only polls, with short pauses: without the rest of what a receiver does."""

    async def poll() -> None:
        calls = PollingClient(known)
        parser = UpdateParser(known, BotIdentity(BOT_ID))
        handler = TelegramUpdateHandler(
            inbox.async_inbox.accept_all, unparsed or FakeUnparsedUpdates(), partial(identify, "telegram", str(BOT_ID))
        )
        retry = Receiving(known, memory).receiver._retry
        poller = UpdatePoller(known, calls, memory, parser, handler, retry, lease_seconds=LEASE, poll_seconds=1)
        try:
            await poller.run()
        finally:
            await calls.close()

    task = BackgroundTask(run_once, poll, "test")
    task.start()
    try:
        yield task
    finally:
        task.stop()


@dataclass
class TelegramSite:
    """The gateway's web side with Telegram's route, asked as Telegram asks."""

    known: TelegramSettings
    inbox: RecordingInbox = field(default_factory=RecordingInbox)
    memory: FakeMemory = field(default_factory=FakeMemory)
    unparsed: FakeUnparsedUpdates = field(default_factory=FakeUnparsedUpdates)

    def __post_init__(self) -> None:
        adapter = Receiving(self.known, self.memory, self.unparsed)
        self.receiver = adapter.receiver
        self.client = AppClient(create_app([cast("Adapter", adapter)], self.inbox.async_inbox, database_ok))

    def post(self, body: bytes, secret: str | None = SECRET, **more: Any) -> TestResponse:
        headers = {} if secret is None else {HEADER: secret}
        return self.client.post(PATH, data=body, headers=headers, content_type=JSON, **more)

    def tell(self, told: object, secret: str | None = SECRET) -> TestResponse:
        return self.post(json.dumps(told).encode(), secret)

    def say(self, text: str) -> TestResponse:
        return self.tell(update(message=message_json(text)))


def ends_soon(work: Callable[[], object]) -> None:
    """It must not wait for what may never come."""
    thread = in_thread(work)
    thread.join(SOON)
    assert not thread.is_alive()
