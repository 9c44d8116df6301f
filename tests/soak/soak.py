"""Sets up a soak test, runs it, and collects the results."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import aiohttp

from adapters.telegram.reconciler import SENT_AGAIN
from tests.bench.postgres_server import DatabaseServer
from tests.fakes.openai_conversations import text_of
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.slack_events import SIGNING_SECRET
from tests.fakes.slack_events import TOKEN as SLACK_TOKEN
from tests.fakes.slack_server import FakeSlack
from tests.fakes.telegram_messages import TOKEN as TELEGRAM_TOKEN
from tests.fakes.telegram_server import FakeTelegram
from tests.soak.database import Books
from tests.soak.disruptions import Blow, Fate
from tests.soak.fleet import GRACE_SECONDS, Fleet
from tests.soak.message_counts import Line, Place, Tally
from tests.soak.message_counts import count as tally_of
from tests.soak.users import (
    ChatTalk,
    Diary,
    SlackTalk,
    Taken,
    Talk,
    TelegramTalk,
    live,
    slack_replies,
    telegram_replies,
    until,
)

CALLERS, SLACK_PEOPLE, TELEGRAM_PEOPLE = 100, 8, 12
"""A Slack workspace allows a few hundred posts a minute, a Telegram bot a thousand; the rest of the load is /chat."""
THINK_SECONDS, CHUNK_SECONDS = 0.8, 0.1
"""Seconds before a reply starts, and between its five chunks, so that every kill hits turns in progress."""
SAMPLE_SECONDS = 1.0
WARM_UP_SECONDS = 15.0
"""Seconds after which the memory counts as the initial one."""
TRIES = [0.5] * 400
"""Pauses between Slack's delivery attempts: it retries until a process acknowledges the event."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    """Seconds since the load began."""
    rss_mb: float
    """Memory of the undisturbed process."""
    connections: int
    """Database connections of all processes."""


@dataclass
class Outcome:
    """The results of a soak test."""

    tally: Tally
    diary: Diary
    books: Books
    blows: Sequence[Blow]
    samples: Sequence[Sample]
    load_seconds: float
    settle_seconds: float
    """From the end of the load until no turn was unfinished."""
    runs: int
    """Runs at the assistant."""
    answer_seconds: dict[str, list[float]]
    """Seconds from a message to its reply, by platform."""
    orphan_seconds: Sequence[float]
    """For each kill that orphaned turns: seconds to the reply to the last of them."""
    database_mb: float
    unfinished: int
    failures: dict[str, int]
    surprises: Counter[str] = field(default_factory=Counter)

    @property
    def well(self) -> bool:
        return not (any(self.tally.wrongs.values()) or self.unfinished or self.failures or self.surprises)


class Soak:
    """One soak test. ``seed`` determines who is disturbed and how; the exact timing depends on the machine."""

    def __init__(
        self, folder: Path, server: DatabaseServer, *, processes: int, seed: int, tell: Callable[[str], None]
    ) -> None:
        url = server.new_database()
        self._seed = seed
        self._tell = tell
        self._openai, self._slack = FakeOpenAI(record=False), FakeSlack(retries=TRIES)
        self._telegram = FakeTelegram()
        self._openai.think, self._openai.chunk_delay = THINK_SECONDS, CHUNK_SECONDS
        self._books = Books(url)
        self._diary = Diary()
        self._open = ExitStack()
        for fake in (self._openai, self._slack, self._telegram):
            self._open.enter_context(fake)
        self._fleet = Fleet(processes, folder, self._settings(url))
        self._open.callback(self._fleet.end)
        self._fate = Fate(self._fleet, self._books, Random(seed), tell)
        self._samples: list[Sample] = []

    def close(self) -> None:
        self._open.close()

    async def run(self, seconds: float) -> Outcome:
        await asyncio.gather(*(asyncio.to_thread(process.start) for process in self._fleet.processes))
        begun, over = time.monotonic(), asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, over.set)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)  # each request may go to a different process
        async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fate.strike_until(over))
            tasks.create_task(self._sample(begun, over))
            for number, open_talk in enumerate(self._people(http)):
                tasks.create_task(live(open_talk, Random(f"{self._seed} {number}"), over))
            await over.wait()
            self._tell("load ended")
        await until(lambda: not self._books.unfinished())
        self._settle_platforms()
        return self._outcome(seconds, time.monotonic() - begun - seconds)

    # ------------------------------------------------------------ during the run

    def _settings(self, url: str) -> dict[str, str]:
        return {
            "HOST": "127.0.0.1",
            "DATABASE_URL": url,
            "GRACE_SECONDS": str(GRACE_SECONDS),
            "ASSISTANT_BACKEND": "responses",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": self._openai.base_url,
            "SLACK_API_URL": self._slack.api_url,
            "SLACK_BOT_TOKEN": SLACK_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "TELEGRAM_API_URL": self._telegram.url,
            "TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN,
        }

    def _people(self, http: aiohttp.ClientSession) -> Iterator[Callable[[], Talk]]:
        """Yields, for each user, a function that opens a conversation."""
        numbers, taken, diary, fleet = count(1), Taken(self._slack), self._diary, self._fleet
        for person in range(CALLERS + SLACK_PEOPLE + TELEGRAM_PEOPLE):
            dice = Random(f"{self._seed} {person}, in a conversation")
            if person < CALLERS:
                yield partial(_open, ChatTalk, numbers, diary, fleet, dice, http)
            elif person < CALLERS + SLACK_PEOPLE:
                yield partial(_open, SlackTalk, numbers, diary, fleet, dice, self._slack, taken)
            else:
                yield partial(_open, TelegramTalk, numbers, diary, dice, self._telegram)

    async def _sample(self, begun: float, over: asyncio.Event) -> None:
        while not over.is_set():
            await asyncio.sleep(SAMPLE_SECONDS)
            self._fate.check()
            connections = await asyncio.to_thread(self._books.connections)
            self._samples.append(Sample(time.monotonic() - begun, self._fleet.spared.rss_mb, connections))

    # ------------------------------------------------------------ at the end

    def _settle_platforms(self) -> None:
        self._slack.settle()
        self._telegram.settle()

    def _outcome(self, load_seconds: float, settle_seconds: float) -> Outcome:
        deliveries, blows = self._books.deliveries(), self._fate.blows
        left = (deliveries.last_of(blow.orphans, blow.at) for blow in blows if blow.orphans)
        surprises = self._diary.surprises + Counter(blow.wrong for blow in blows if blow.wrong)
        return Outcome(
            tally=tally_of(self._diary.said, self._shown(), self._threads(), label=SENT_AGAIN),
            diary=self._diary,
            books=self._books,
            blows=blows,
            samples=self._samples,
            load_seconds=load_seconds,
            settle_seconds=settle_seconds,
            runs=len(self._openai.responses),
            answer_seconds=self._answer_seconds({**deliveries.by_mark, **self._diary.replied_at}),
            orphan_seconds=[seconds for seconds in left if seconds is not None],
            database_mb=self._books.size_mb(),
            unfinished=self._books.unfinished(),
            failures=self._books.failures(),
            surprises=surprises,
        )

    def _answer_seconds(self, answered_at: dict[str, float]) -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {}
        for (platform, _), marks in self._diary.said.items():
            times = [answered_at[mark] - self._diary.said_at[mark] for mark in marks if mark in answered_at]
            seconds.setdefault(platform, []).extend(times)
        return seconds

    def _shown(self) -> dict[Place, Sequence[str]]:
        """Returns the replies shown in each conversation."""
        shown: dict[Place, Sequence[str]] = {}
        for platform, name in self._diary.said:
            match platform:
                case "slack":
                    shown[platform, name] = slack_replies(self._slack, name)
                case "telegram":
                    shown[platform, name] = telegram_replies(self._telegram, int(name))
                case _:
                    shown[platform, name] = self._diary.replies[platform, name]
        return shown

    def _threads(self) -> Iterator[Sequence[Line]]:
        for items in self._openai.conversations.values():
            messages = [item for item in items if item["type"] == "message"]
            yield [Line(item["role"] == "user", text_of(item)) for item in messages]


def _open(kind: Callable[..., Talk], numbers: Iterator[int], *rest: object) -> Talk:
    return kind(next(numbers), *rest)


def soak(
    folder: Path, server: DatabaseServer, *, seconds: float, processes: int, seed: int, tell: Callable[[str], None]
) -> Outcome:
    with closing(Soak(folder, server, processes=processes, seed=seed, tell=tell)) as running:
        return asyncio.run(running.run(seconds))
