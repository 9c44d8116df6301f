"""People who talk, on three platforms, and note what they said and what they got."""

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
from tests.soak.tally import Place

LONGEST_TALK = 5
"""Messages in one conversation."""
PAUSE_SECONDS = 1.5
"""From an answer to the next message, on the average."""
PATIENCE_SECONDS = 180.0
"""After which nobody waits for an answer any more."""
TRY_SECONDS = 8.0
"""How long a caller of /chat waits for one process before it asks another."""
TRY_PAUSE = 0.2
LOOK_SECONDS = 0.05
COME_BACK = frozenset({429, 503, 504})
"""What a caller of /chat tries again after."""
HURRY = 0.5
"""How often somebody in a chat writes on before the answer is there."""
FIRST_CHAT = 10_000_000


@dataclass
class Diary:
    """What all of them note."""

    said: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The marks of each conversation, in order."""
    said_at: dict[str, float] = field(default_factory=dict)
    """When each was said first, in seconds since the epoch."""
    replies: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Of /chat, where they are nowhere else."""
    replied_at: dict[str, float] = field(default_factory=dict)
    """Likewise."""
    tries: Counter[str] = field(default_factory=Counter)
    """Why callers of /chat asked again."""
    surprises: Counter[str] = field(default_factory=Counter)
    """What should not be."""
    _marks: count[int] = field(default_factory=lambda: count(1))

    def note(self, place: Place) -> tuple[str, str]:
        """The mark of a new message, and what it says."""
        mark = f"m{next(self._marks):07}"
        self.said[place].append(mark)
        self.said_at[mark] = time.time()
        return mark, f"Tell me more about the weather in Reykjavik, {mark}."


class Talk(Protocol):
    """One conversation."""

    async def say(self) -> None:
        """Say something, and wait until it is taken at least."""
        ...

    async def end(self) -> None:
        """Wait for what was not answered yet."""
        ...


async def live(open_talk: Callable[[], Talk], dice: Random, over: asyncio.Event) -> None:
    """One conversation after another, until it is over."""
    await asyncio.sleep(dice.random() * PAUSE_SECONDS)
    while not over.is_set():
        talk = open_talk()
        for _ in range(dice.randint(1, LONGEST_TALK)):
            await talk.say()
            await asyncio.sleep(dice.expovariate(1 / PAUSE_SECONDS))
        await talk.end()


async def until(ready: Callable[[], bool]) -> bool:
    """Wait for it; False when patience ends."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


class ChatTalk:
    """A caller of /chat, who asks again with the same Idempotency-Key, wherever, until there is an answer."""

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
            said = await self._ask(asked, mark)
            if said is not None:
                self._thread = said["thread_id"]
                self._diary.replies[self._place].append(said["response"])
                self._diary.replied_at[mark] = time.time()
                return
            await asyncio.sleep(TRY_PAUSE)
        self._diary.surprises["a caller of /chat got no answer"] += 1

    async def end(self) -> None:
        pass

    async def _ask(self, asked: dict[str, str], key: str) -> dict[str, Any] | None:
        url, timeout = f"{self._fleet.some_web(self._dice).url}/chat", aiohttp.ClientTimeout(TRY_SECONDS)
        try:
            async with self._http.post(url, json=asked, headers={"Idempotency-Key": key}, timeout=timeout) as answer:
                said: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            self._diary.tries[type(exc).__name__] += 1
            return None
        if answer.status == 200:
            return said
        code = f"{answer.status} {said['error']['code']}"
        (self._diary.tries if answer.status in COME_BACK else self._diary.surprises)[code] += 1
        return None


class SlackTalk:
    """A thread under a direct message. Slack brings each message to any of the processes, and again until one takes it.

    Somebody may write on before the answer is there, but not before the last message is taken: Slack does not
    say in which order two arrive that are under way at once.
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
            self._diary.surprises["nobody took an event of Slack's"] += 1
        if self._dice.random() > HURRY:
            await until(lambda: self._answered(mark))

    async def end(self) -> None:
        last = self._diary.said[self._place][-1]
        if not await until(lambda: self._answered(last)):
            self._diary.surprises["nobody answered in Slack"] += 1

    def _answered(self, mark: str) -> bool:
        return any(mark in reply for reply in slack_replies(self._slack, self.channel))


class TelegramTalk:
    """A private chat of its own. Whichever process polls has its messages in order."""

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
            self._diary.surprises["nobody answered in Telegram"] += 1

    def _answered(self, mark: str) -> bool:
        return any(mark in reply for reply in telegram_replies(self._telegram, self._chat))


class Taken:
    """Which of Slack's messages were taken, looked up without walking through all deliveries each time."""

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
    """Those that stand there whole."""
    return [posted.text for posted in slack.answers(channel) if not posted.streaming]


def telegram_replies(telegram: FakeTelegram, chat: int) -> list[str]:
    return [shown.text for shown in telegram.answers(chat)]
