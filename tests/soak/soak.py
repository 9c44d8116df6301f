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
from tests.soak.database import SoakDatabase
from tests.soak.disruptions import Disruption, Disruptor
from tests.soak.fleet import GRACE_SECONDS, Fleet
from tests.soak.message_counts import ChannelKey, MessageCounts, RememberedMessage
from tests.soak.message_counts import count_messages as tally_of
from tests.soak.users import (
    AcknowledgedEvents,
    ChatConversation,
    MessageLog,
    SlackConversation,
    TelegramConversation,
    UserConversation,
    run_user,
    slack_replies,
    telegram_replies,
    wait_until,
)

CALLERS, SLACK_PEOPLE, TELEGRAM_PEOPLE = 100, 8, 12
"""A Slack workspace allows a few hundred posts a minute, a Telegram bot a thousand; the rest of the load is /chat."""
THINK_SECONDS, CHUNK_SECONDS = 0.8, 0.1
"""Seconds before a reply starts, and between its five chunks, so that every kill hits turns in progress."""
SAMPLE_SECONDS = 1.0
WARM_UP_SECONDS = 15.0
"""Seconds after which the memory counts as the initial one."""
SLACK_RETRY_PAUSES = [0.5] * 400
"""Pauses between Slack's delivery attempts: it retries until a process acknowledges the event."""


@dataclass(frozen=True, slots=True)
class ResourceSample:
    seconds: float
    """Seconds since the load began."""
    rss_mb: float
    """Memory of the undisturbed process."""
    connections: int
    """Database connections of all processes."""


@dataclass
class SoakResult:
    """The results of a soak test."""

    counts: MessageCounts
    log: MessageLog
    database: SoakDatabase
    disruptions: Sequence[Disruption]
    samples: Sequence[ResourceSample]
    load_seconds: float
    settle_seconds: float
    """From the end of the load until no turn was unfinished."""
    runs: int
    """Runs at the assistant."""
    answer_seconds: dict[str, list[float]]
    """Seconds from a message to its reply, by platform."""
    recovery_seconds: Sequence[float]
    """For each kill that orphaned turns: seconds to the reply to the last of them."""
    database_mb: float
    unfinished: int
    failures: dict[str, int]
    surprises: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        return not (any(self.counts.violations.values()) or self.unfinished or self.failures or self.surprises)


class Soak:
    """One soak test. ``seed`` determines who is disturbed and how; the exact timing depends on the machine."""

    def __init__(
        self, folder: Path, server: DatabaseServer, *, processes: int, seed: int, report_progress: Callable[[str], None]
    ) -> None:
        url = server.new_database()
        self._seed = seed
        self._report_progress = report_progress
        self._openai, self._slack = FakeOpenAI(record=False), FakeSlack(retries=SLACK_RETRY_PAUSES)
        self._telegram = FakeTelegram()
        self._openai.think, self._openai.chunk_delay = THINK_SECONDS, CHUNK_SECONDS
        self._database = SoakDatabase(url)
        self._log = MessageLog()
        self._resources = ExitStack()
        for fake in (self._openai, self._slack, self._telegram):
            self._resources.enter_context(fake)
        self._fleet = Fleet(processes, folder, self._settings(url))
        self._resources.callback(self._fleet.kill_all)
        self._disruptor = Disruptor(self._fleet, self._database, Random(seed), report_progress)
        self._samples: list[ResourceSample] = []

    def close(self) -> None:
        self._resources.close()

    async def run(self, seconds: float) -> SoakResult:
        await asyncio.gather(*(asyncio.to_thread(process.start) for process in self._fleet.processes))
        begun, over = time.monotonic(), asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, over.set)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)  # each request may go to a different process
        async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._disruptor.disrupt_until(over))
            tasks.create_task(self._sample_resources(begun, over))
            for number, open_talk in enumerate(self._user_factories(http)):
                tasks.create_task(run_user(open_talk, Random(f"{self._seed} {number}"), over))
            await over.wait()
            self._report_progress("load ended")
        await wait_until(lambda: not self._database.unfinished_conversations())
        self._finish_platforms()
        return self._result(seconds, time.monotonic() - begun - seconds)

    # ------------------------------------------------------------ during the run

    def _settings(self, url: str) -> dict[str, str]:
        return {
            "HOST": "127.0.0.1",
            "CHAT_REQUESTS_PER_MINUTE": "0",  # all callers have one address
            "DATABASE_URL": url,
            "GRACE_SECONDS": str(GRACE_SECONDS),
            "ASSISTANT_BACKEND": "responses",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": self._openai.base_url,
            "SLACK_API_URL": self._slack.api_url,
            "SLACK_BOT_TOKEN": SLACK_TOKEN,
            "SLACK_NAMES": "false",
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "TELEGRAM_API_URL": self._telegram.url,
            "TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN,
            "TELEGRAM_NAMES": "false",
        }

    def _user_factories(self, http: aiohttp.ClientSession) -> Iterator[Callable[[], UserConversation]]:
        """Yields, for each user, a function that opens a conversation."""
        numbers, taken, diary, fleet = count(1), AcknowledgedEvents(self._slack), self._log, self._fleet
        for person in range(CALLERS + SLACK_PEOPLE + TELEGRAM_PEOPLE):
            dice = Random(f"{self._seed} {person}, in a conversation")
            if person < CALLERS:
                yield partial(_open_conversation, ChatConversation, numbers, diary, fleet, dice, http)
            elif person < CALLERS + SLACK_PEOPLE:
                yield partial(_open_conversation, SlackConversation, numbers, diary, fleet, dice, self._slack, taken)
            else:
                yield partial(_open_conversation, TelegramConversation, numbers, diary, dice, self._telegram)

    async def _sample_resources(self, begun: float, load_ended: asyncio.Event) -> None:
        while not load_ended.is_set():
            await asyncio.sleep(SAMPLE_SECONDS)
            self._disruptor.check_processes()
            connections = await asyncio.to_thread(self._database.connection_count)
            self._samples.append(ResourceSample(time.monotonic() - begun, self._fleet.undisturbed.rss_mb, connections))

    # ------------------------------------------------------------ at the end

    def _finish_platforms(self) -> None:
        self._slack.wait_until_delivered()
        self._telegram.wait_until_acknowledged()

    def _result(self, load_seconds: float, settle_seconds: float) -> SoakResult:
        deliveries, blows = self._database.deliveries(), self._disruptor.disruptions
        left = (deliveries.seconds_to_last(blow.orphaned_turns, blow.at) for blow in blows if blow.orphaned_turns)
        surprises = self._log.surprises + Counter(blow.error for blow in blows if blow.error)
        return SoakResult(
            counts=tally_of(self._log.sent, self._replies_shown(), self._threads(), label=SENT_AGAIN),
            log=self._log,
            database=self._database,
            disruptions=blows,
            samples=self._samples,
            load_seconds=load_seconds,
            settle_seconds=settle_seconds,
            runs=len(self._openai.responses),
            answer_seconds=self._answer_seconds({**deliveries.by_marker, **self._log.replied_at}),
            recovery_seconds=[seconds for seconds in left if seconds is not None],
            database_mb=self._database.size_mb(),
            unfinished=self._database.unfinished_conversations(),
            failures=self._database.failures(),
            surprises=surprises,
        )

    def _answer_seconds(self, answered_at: dict[str, float]) -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {}
        for (platform, _), marks in self._log.sent.items():
            times = [answered_at[mark] - self._log.sent_at[mark] for mark in marks if mark in answered_at]
            seconds.setdefault(platform, []).extend(times)
        return seconds

    def _replies_shown(self) -> dict[ChannelKey, Sequence[str]]:
        """Returns the replies shown in each conversation."""
        shown: dict[ChannelKey, Sequence[str]] = {}
        for platform, name in self._log.sent:
            match platform:
                case "slack":
                    shown[platform, name] = slack_replies(self._slack, name)
                case "telegram":
                    shown[platform, name] = telegram_replies(self._telegram, int(name))
                case _:
                    shown[platform, name] = self._log.replies[platform, name]
        return shown

    def _threads(self) -> Iterator[Sequence[RememberedMessage]]:
        for items in self._openai.conversations.values():
            messages = [item for item in items if item["type"] == "message"]
            yield [RememberedMessage(item["role"] == "user", text_of(item)) for item in messages]


def _open_conversation(
    kind: Callable[..., UserConversation], numbers: Iterator[int], *rest: object
) -> UserConversation:
    return kind(next(numbers), *rest)


def soak(
    folder: Path,
    server: DatabaseServer,
    *,
    seconds: float,
    processes: int,
    seed: int,
    report_progress: Callable[[str], None],
) -> SoakResult:
    with closing(Soak(folder, server, processes=processes, seed=seed, report_progress=report_progress)) as running:
        return asyncio.run(running.run(seconds))
