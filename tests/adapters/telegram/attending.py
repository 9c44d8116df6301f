"""How the tests of Telegram's way in are set up: settings, an inbox that writes down, a door, a process of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import SecretStr
from werkzeug.test import TestResponse

from adapters.telegram.door import Door
from adapters.telegram.errand import Errand
from adapters.telegram.incoming import Reader
from adapters.telegram.intake import Intake
from adapters.telegram.marks import Me
from adapters.telegram.poll import Fetching, Poll
from adapters.telegram.registration import PATH
from adapters.telegram.settings import TelegramSettings
from gateway.engine import run_once
from gateway.messages import Message
from gateway.ports import Adapter, Check, Inbox, Receipt
from gateway.storing import Memory
from gateway.web import create_app
from tests.adapters.chat import in_thread
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import BOT_ID, SECRET, TOKEN, message, update

PAUSES = (0.01, 0.05)
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
    return TelegramSettings(_env_file=None, **{**known, **given})  # type: ignore[call-arg]  # pydantic's own


def by_webhook(telegram: FakeTelegram | None = None, **given: Any) -> TelegramSettings:
    return settings(telegram, secret=SECRET, **given)


@dataclass
class Recorder:
    """An inbox that writes down what it takes; ``faults`` are raised instead, one at a time."""

    taken: list[Receipt] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    before: Callable[[Receipt], object] = lambda _: None

    def take(self, receipt: Receipt) -> None:
        self.before(receipt)
        if self.faults:
            raise self.faults.pop(0)
        self.taken.append(receipt)

    @property
    def messages(self) -> list[Message]:
        return [message for receipt in self.taken for message in receipt.messages]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def inbox(self) -> Inbox:
        return cast("Inbox", self)


class Notebook:
    """A memory for one test: what is kept, and leases that last until they are given up. ``faults`` as above."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.faults: list[Exception] = []
        self._lock = threading.Lock()

    def recall(self, name: str) -> str | None:
        return self.kept.get(name)

    def keep(self, name: str, value: str) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.kept[name] = value

    def discard(self, name: str) -> bool:
        return self.kept.pop(name, None) is not None

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        with self._lock:
            if seconds <= 0:
                return self.holders.get(name) == owner and bool(self.holders.pop(name))
            return self.holders.setdefault(name, owner) == owner

    def aside(self) -> list[str]:
        """The names of the updates that are kept aside."""
        return [name for name in self.kept if ":aside:" in name]


def make_door(known: TelegramSettings, memory: Memory, **more: Any) -> Door:
    return Door(known, Reader(known, Me(BOT_ID)), memory, run_once, pauses=PAUSES, **more)


@contextmanager
def listening(door: Door, inbox: Recorder) -> Iterator[None]:
    door.listen(inbox.inbox)
    try:
        yield
    finally:
        door.hush()


@contextmanager
def polling(known: TelegramSettings, memory: Memory, inbox: Recorder) -> Iterator[Errand]:
    """Only the poll, impatient: what a door does besides is left out."""

    async def poll() -> None:
        calls = Fetching(known)
        intake = Intake(Reader(known, Me(BOT_ID)), inbox.inbox, memory, str(BOT_ID))
        try:
            await Poll(known, calls, memory, intake, lease_seconds=LEASE, poll_seconds=1, pauses=PAUSES).go_on()
        finally:
            await calls.close()

    errand = Errand(run_once, poll)
    errand.begin()
    try:
        yield errand
    finally:
        errand.end()


@dataclass
class Site:
    """The gateway's web side with Telegram's route, asked as Telegram asks."""

    known: TelegramSettings
    inbox: Recorder = field(default_factory=Recorder)
    memory: Notebook = field(default_factory=Notebook)

    def __post_init__(self) -> None:
        self.door = make_door(self.known, self.memory)
        adapter = cast("Adapter", self.door)
        self.client = create_app([adapter], self.inbox.inbox, lambda: [Check("database", ok=True)]).test_client()

    def post(self, body: bytes, secret: str | None = SECRET, **more: Any) -> TestResponse:
        headers = {} if secret is None else {HEADER: secret}
        return self.client.post(PATH, data=body, headers=headers, content_type=JSON, **more)

    def tell(self, told: object, secret: str | None = SECRET) -> TestResponse:
        return self.post(json.dumps(told).encode(), secret)

    def say(self, text: str) -> TestResponse:
        return self.tell(update(message=message(text)))


def ends_soon(work: Callable[[], object]) -> None:
    """It must not wait for what may never come."""
    thread = in_thread(work)
    thread.join(SOON)
    assert not thread.is_alive()
