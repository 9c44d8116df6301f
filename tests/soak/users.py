"""Simulated users on three platforms; they log what they send and what they receive."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Protocol

import aiohttp

from tests.fakes.slack_server import FakeSlack
from tests.fakes.telegram_server import FakeTelegram
from tests.soak.fleet import Fleet
from tests.soak.message_counts import ChannelKey

MAX_MESSAGES = 5
"""Messages in one conversation."""
PAUSE_SECONDS = 1.5
"""Average seconds from a reply to the next message."""
ANSWER_TIMEOUT_SECONDS = 180.0
"""Seconds after which users stop waiting for a reply."""
REQUEST_TIMEOUT_SECONDS = 8.0
"""Seconds that a caller of /chat waits for one process before it tries another."""
RETRY_PAUSE_SECONDS = 0.2
POLL_SECONDS = 0.05
RETRIED_STATUSES = frozenset({429, 503, 504})
"""Statuses after which a caller of /chat retries."""
WRITE_ON_PROBABILITY = 0.5
"""Probability that a user sends the next message before the reply has arrived."""
FIRST_CHAT = 10_000_000


@dataclass
class MessageLog:
    """What all users have sent and received."""

    sent: dict[ChannelKey, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The markers of each conversation, in order."""
    sent_at: dict[str, float] = field(default_factory=dict)
    """When each was sent first, in seconds since the epoch."""
    replies: dict[ChannelKey, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Replies of /chat, which are stored nowhere else."""
    replied_at: dict[str, float] = field(default_factory=dict)
    """When each reply of /chat arrived, in seconds since the epoch."""
    retries: Counter[str] = field(default_factory=Counter)
    """Why callers of /chat retried, with counts."""
    surprises: Counter[str] = field(default_factory=Counter)
    """Errors that must not occur, with counts."""
    _markers: count[int] = field(default_factory=lambda: count(1))

    def new_message(self, channel: ChannelKey) -> tuple[str, str]:
        """Returns the marker and the text of a new message."""
        mark = f"m{next(self._markers):07}"
        self.sent[channel].append(mark)
        self.sent_at[mark] = time.time()
        return mark, f"Tell me more about the weather in Reykjavik, {mark}."


class UserConversation(Protocol):
    """One conversation of a simulated user."""

    async def send(self) -> None:
        """Sends a message and waits at least until the gateway has acknowledged it."""
        ...

    async def wait_for_replies(self) -> None:
        """Waits for the outstanding replies."""
        ...


async def run_user(open_conversation: Callable[[], UserConversation], rng: Random, load_ended: asyncio.Event) -> None:
    """Has one conversation after another until the load ends."""
    await asyncio.sleep(rng.random() * PAUSE_SECONDS)
    while not load_ended.is_set():
        talk = open_conversation()
        for _ in range(rng.randint(1, MAX_MESSAGES)):
            await talk.send()
            await asyncio.sleep(rng.expovariate(1 / PAUSE_SECONDS))
        await talk.wait_for_replies()


async def wait_until(condition: Callable[[], bool]) -> bool:
    """Waits for the condition; returns False after ANSWER_TIMEOUT_SECONDS."""
    end = time.monotonic() + ANSWER_TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


class ChatConversation:
    """A thread of /chat. The caller retries with the same Idempotency-Key at any process until there is a reply."""

    def __init__(self, number: int, log: MessageLog, fleet: Fleet, rng: Random, http: aiohttp.ClientSession) -> None:
        self._channel_key = ("http", str(number))
        self._log = log
        self._fleet = fleet
        self._rng = rng
        self._http = http
        self._thread: str | None = None

    async def send(self) -> None:
        mark, text = self._log.new_message(self._channel_key)
        asked = {"message": text} | ({"thread_id": self._thread} if self._thread else {})
        end = time.monotonic() + ANSWER_TIMEOUT_SECONDS
        while time.monotonic() < end:
            body = await self._post(asked, mark)
            if body is not None:
                self._thread = body["thread_id"]
                self._log.replies[self._channel_key].append(body["response"])
                self._log.replied_at[mark] = time.time()
                return
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
        self._log.surprises["no reply from /chat"] += 1

    async def wait_for_replies(self) -> None:
        pass

    async def _post(self, asked: dict[str, str], key: str) -> dict[str, Any] | None:
        url, timeout = f"{self._fleet.random_web(self._rng).url}/chat", aiohttp.ClientTimeout(REQUEST_TIMEOUT_SECONDS)
        try:
            async with self._http.post(url, json=asked, headers={"Idempotency-Key": key}, timeout=timeout) as response:
                body: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            self._log.retries[type(exc).__name__] += 1
            return None
        if response.status == 200:
            return body
        code = f"{response.status} {body['error']['code']}"
        (self._log.retries if response.status in RETRIED_STATUSES else self._log.surprises)[code] += 1
        return None


class SlackConversation:
    """A thread in a direct message. Slack sends each event to a random process until one acknowledges it.

    The user may write on before the reply is there, but not before the last message is acknowledged: Slack does not
    guarantee the order of two events that are being delivered at the same time.
    """

    def __init__(
        self,
        number: int,
        log: MessageLog,
        fleet: Fleet,
        rng: Random,
        slack: FakeSlack,
        acknowledged: AcknowledgedEvents,
    ) -> None:
        self.channel = f"D0S{number:07}"
        self._channel_key = ("slack", self.channel)
        self._log = log
        self._fleet = fleet
        self._rng = rng
        self._slack = slack
        self._acknowledged = acknowledged
        self._thread_ts: str | None = None

    async def send(self) -> None:
        self._slack.deliver_to(f"{self._fleet.random_web(self._rng).url}/slack/events")
        mark, text = self._log.new_message(self._channel_key)
        ts = self._slack.user_says(text, channel=self.channel, thread_ts=self._thread_ts)
        self._thread_ts = self._thread_ts or ts
        if not await wait_until(lambda: self._acknowledged.contains(ts)):
            self._log.surprises["a Slack event was never acknowledged"] += 1
        if self._rng.random() > WRITE_ON_PROBABILITY:
            await wait_until(lambda: self._is_answered(mark))

    async def wait_for_replies(self) -> None:
        last = self._log.sent[self._channel_key][-1]
        if not await wait_until(lambda: self._is_answered(last)):
            self._log.surprises["no reply in Slack"] += 1

    def _is_answered(self, marker: str) -> bool:
        return any(marker in reply for reply in slack_replies(self._slack, self.channel))


class TelegramConversation:
    """A private chat. The process that polls gets the messages in order."""

    def __init__(self, number: int, log: MessageLog, rng: Random, telegram: FakeTelegram) -> None:
        self._chat = FIRST_CHAT + number
        self._channel_key = ("telegram", str(self._chat))
        self._log = log
        self._rng = rng
        self._telegram = telegram

    async def send(self) -> None:
        mark, text = self._log.new_message(self._channel_key)
        self._telegram.user_says(text, chat_id=self._chat)
        if self._rng.random() > WRITE_ON_PROBABILITY:
            await wait_until(lambda: self._is_answered(mark))

    async def wait_for_replies(self) -> None:
        last = self._log.sent[self._channel_key][-1]
        if not await wait_until(lambda: self._is_answered(last)):
            self._log.surprises["no reply in Telegram"] += 1

    def _is_answered(self, marker: str) -> bool:
        return any(marker in reply for reply in telegram_replies(self._telegram, self._chat))


class AcknowledgedEvents:
    """Which Slack events were acknowledged; reads only new deliveries each time."""

    def __init__(self, slack: FakeSlack) -> None:
        self._slack = slack
        self._read_count = 0
        self._acknowledged: set[str] = set()

    def contains(self, ts: str) -> bool:
        new = self._slack.deliveries[self._read_count :]
        self._read_count += len(new)
        self._acknowledged |= {
            one.request.payload["event"]["ts"] for one in new if one.accepted and one.request is not None
        }
        return ts in self._acknowledged


def slack_replies(slack: FakeSlack, channel: str) -> list[str]:
    """Returns the complete replies."""
    return [posted.text for posted in slack.bot_messages(channel) if not posted.streaming]


def telegram_replies(telegram: FakeTelegram, chat: int) -> list[str]:
    return [shown.text for shown in telegram.bot_messages(chat)]
