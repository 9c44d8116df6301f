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
from tests.soak.message_counts import Place

LONGEST_TALK = 5
"""Messages in one conversation."""
PAUSE_SECONDS = 1.5
"""Average seconds from a reply to the next message."""
PATIENCE_SECONDS = 180.0
"""Seconds after which users stop waiting for a reply."""
TRY_SECONDS = 8.0
"""Seconds that a caller of /chat waits for one process before it tries another."""
TRY_PAUSE = 0.2
LOOK_SECONDS = 0.05
COME_BACK = frozenset({429, 503, 504})
"""Statuses after which a caller of /chat retries."""
HURRY = 0.5
"""Probability that a user sends the next message before the reply has arrived."""
FIRST_CHAT = 10_000_000


@dataclass
class Diary:
    """What all users have sent and received."""

    said: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The markers of each conversation, in order."""
    said_at: dict[str, float] = field(default_factory=dict)
    """When each was sent first, in seconds since the epoch."""
    replies: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Replies of /chat, which are stored nowhere else."""
    replied_at: dict[str, float] = field(default_factory=dict)
    """When each reply of /chat arrived, in seconds since the epoch."""
    tries: Counter[str] = field(default_factory=Counter)
    """Why callers of /chat retried, with counts."""
    surprises: Counter[str] = field(default_factory=Counter)
    """Errors that must not occur, with counts."""
    _marks: count[int] = field(default_factory=lambda: count(1))

    def note(self, place: Place) -> tuple[str, str]:
        """Returns the marker and the text of a new message."""
        mark = f"m{next(self._marks):07}"
        self.said[place].append(mark)
        self.said_at[mark] = time.time()
        return mark, f"Tell me more about the weather in Reykjavik, {mark}."


class Talk(Protocol):
    """One conversation of a simulated user."""

    async def say(self) -> None:
        """Sends a message and waits at least until the gateway has acknowledged it."""
        ...

    async def end(self) -> None:
        """Waits for the outstanding replies."""
        ...


async def live(open_talk: Callable[[], Talk], dice: Random, over: asyncio.Event) -> None:
    """Has one conversation after another until the load ends."""
    await asyncio.sleep(dice.random() * PAUSE_SECONDS)
    while not over.is_set():
        talk = open_talk()
        for _ in range(dice.randint(1, LONGEST_TALK)):
            await talk.say()
            await asyncio.sleep(dice.expovariate(1 / PAUSE_SECONDS))
        await talk.end()


async def until(ready: Callable[[], bool]) -> bool:
    """Waits for the condition; returns False after ANSWER_TIMEOUT_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


class ChatTalk:
    """A thread of /chat. The caller retries with the same Idempotency-Key at any process until there is a reply."""

    def __init__(self, number: int, diary: Diary, fleet: Fleet, dice: Random, http: aiohttp.ClientSession) -> None:
        self._place = ("http", str(number))
        self._diary = diary
        self._fleet = fleet
        self._dice = dice
        self._http = http
        self._thread: str | None = None

    async def say(self) -> None:
        mark, text = self._diary.note(self._place)
        asked = {"message": text} | ({"thread_id": self._thread} if self._thread else {})
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            body = await self._ask(asked, mark)
            if body is not None:
                self._thread = body["thread_id"]
                self._diary.replies[self._place].append(body["response"])
                self._diary.replied_at[mark] = time.time()
                return
            await asyncio.sleep(TRY_PAUSE)
        self._diary.surprises["no reply from /chat"] += 1

    async def end(self) -> None:
        pass

    async def _ask(self, asked: dict[str, str], key: str) -> dict[str, Any] | None:
        url, timeout = f"{self._fleet.some_web(self._dice).url}/chat", aiohttp.ClientTimeout(TRY_SECONDS)
        try:
            async with self._http.post(url, json=asked, headers={"Idempotency-Key": key}, timeout=timeout) as response:
                body: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            self._diary.tries[type(exc).__name__] += 1
            return None
        if response.status == 200:
            return body
        code = f"{response.status} {body['error']['code']}"
        (self._diary.tries if response.status in COME_BACK else self._diary.surprises)[code] += 1
        return None


class SlackTalk:
    """A thread in a direct message. Slack sends each event to a random process until one acknowledges it.

    The user may write on before the reply is there, but not before the last message is acknowledged: Slack does not
    guarantee the order of two events that are being delivered at the same time.
    """

    def __init__(self, number: int, diary: Diary, fleet: Fleet, dice: Random, slack: FakeSlack, taken: Taken) -> None:
        self.channel = f"D0S{number:07}"
        self._place = ("slack", self.channel)
        self._diary = diary
        self._fleet = fleet
        self._dice = dice
        self._slack = slack
        self._taken = taken
        self._root: str | None = None

    async def say(self) -> None:
        self._slack.deliver_to(f"{self._fleet.some_web(self._dice).url}/slack/events")
        mark, text = self._diary.note(self._place)
        ts = self._slack.say(text, channel=self.channel, thread_ts=self._root)
        self._root = self._root or ts
        if not await until(lambda: self._taken.has(ts)):
            self._diary.surprises["a Slack event was never acknowledged"] += 1
        if self._dice.random() > HURRY:
            await until(lambda: self._answered(mark))

    async def end(self) -> None:
        last = self._diary.said[self._place][-1]
        if not await until(lambda: self._answered(last)):
            self._diary.surprises["no reply in Slack"] += 1

    def _answered(self, mark: str) -> bool:
        return any(mark in reply for reply in slack_replies(self._slack, self.channel))


class TelegramTalk:
    """A private chat. The process that polls gets the messages in order."""

    def __init__(self, number: int, diary: Diary, dice: Random, telegram: FakeTelegram) -> None:
        self._chat = FIRST_CHAT + number
        self._place = ("telegram", str(self._chat))
        self._diary = diary
        self._dice = dice
        self._telegram = telegram

    async def say(self) -> None:
        mark, text = self._diary.note(self._place)
        self._telegram.say(text, chat_id=self._chat)
        if self._dice.random() > HURRY:
            await until(lambda: self._answered(mark))

    async def end(self) -> None:
        last = self._diary.said[self._place][-1]
        if not await until(lambda: self._answered(last)):
            self._diary.surprises["no reply in Telegram"] += 1

    def _answered(self, mark: str) -> bool:
        return any(mark in reply for reply in telegram_replies(self._telegram, self._chat))


class Taken:
    """Which Slack events were acknowledged; reads only new deliveries each time."""

    def __init__(self, slack: FakeSlack) -> None:
        self._slack = slack
        self._read = 0
        self._taken: set[str] = set()

    def has(self, ts: str) -> bool:
        new = self._slack.deliveries[self._read :]
        self._read += len(new)
        self._taken |= {one.parcel.payload["event"]["ts"] for one in new if one.taken and one.parcel is not None}
        return ts in self._taken


def slack_replies(slack: FakeSlack, channel: str) -> list[str]:
    """Returns the complete replies."""
    return [posted.text for posted in slack.answers(channel) if not posted.streaming]


def telegram_replies(telegram: FakeTelegram, chat: int) -> list[str]:
    return [shown.text for shown in telegram.answers(chat)]
