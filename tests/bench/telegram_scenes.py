"""The Telegram scenes: updates that arrive while runs wait, and a burst over many chats until all are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench.loading import wait_until
from tests.bench.measurements import Figure, median, p99
from tests.bench.plan import SLACK_IN_FLIGHT, SLACK_RATE, THINK_SECONDS, Plan
from tests.bench.processes import Server
from tests.bench.slack_processes import Site
from tests.bench.slack_scenes import AIMED, WARM_UP, Burst, cpu_ms, middle, rate_of
from tests.bench.slack_stub import SENDERS, Order, Result
from tests.bench.telegram_processes import TelegramFolder

PTB = "python-telegram-bot, in memory"
ASIDE = ", without limits"
WITHIN = "Telegram allows 30 calls a second for a bot"

Start = Callable[[Server, Site], Server]
"""Starts a program with an OpenAI and a Telegram to talk to."""


class TelegramScenes:
    """Runs the Telegram scenes in the sizes of the plan."""

    def __init__(self, folder: TelegramFolder, plan: Plan, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._plan = plan
        self._tell = tell
        self.errors: list[str] = []
        """Errors that senders got instead of a 200 or a reply."""

    def figures(self) -> Iterator[Figure]:
        yield from self._while_runs_wait()
        yield from self._bursts()

    # ------------------------------------------------------------ updates while runs wait

    def _while_runs_wait(self) -> Iterator[Figure]:
        section = f"Telegram: updates while {SLACK_IN_FLIGHT} runs wait"
        crowd, on_plan = self._hold(self._folder.telegram_gateway, SLACK_IN_FLIGHT)
        their_crowd, their_plan = self._hold(self._folder.ptb, 0)
        yield Figure(section, f"updates a second, {SENDERS} at once", rate_of(crowd), rate_of(their_crowd), PTB)
        name = f"{SLACK_RATE:g} a second, ms to 200"
        yield Figure(section, f"{name}: median", median(on_plan.times), median(their_plan.times), PTB)
        yield Figure(section, f"{name}: p99", p99(on_plan.times), p99(their_plan.times), PTB)

    def _hold(self, start: Start, in_flight: int) -> tuple[Result, Result]:
        """Returns the results of senders as fast as acknowledgements, and of senders at a fixed rate.

        ``in_flight``: how many runs must have started before that.
        """
        with self._folder.fake(think=THINK_SECONDS) as fake:
            telegram = self._folder.telegram()
            server = start(fake, telegram)
            self._tell(f"Telegram, {SLACK_IN_FLIGHT} runs waiting: {server.name}")
            self._carry_out(telegram, server, SLACK_IN_FLIGHT)
            wait_until(lambda: fake.connections() >= in_flight, "not all runs were in flight at once")
            crowd = self._carry_out(telegram, server, self._plan.slack_events)
            on_plan = self._carry_out(telegram, server, int(SLACK_RATE * self._plan.rate_seconds), rate=SLACK_RATE)
            return crowd, on_plan

    # ------------------------------------------------------------ a burst

    def _bursts(self) -> Iterator[Figure]:
        """Measures the median of the rounds against the baseline, without limits; and once with Telegram's limit."""
        messages = self._plan.telegram_burst
        section = f"Telegram: {messages} messages in as many chats"
        starts = (self._folder.unlimited_gateway, self._folder.ptb)
        rounds = [[self._burst(messages, start) for start in starts] for _ in range(self._plan.rounds)]
        ours, theirs = zip(*rounds, strict=True)
        for name, figure, aim in AIMED:
            yield Figure(section, f"{name}{ASIDE}", middle(figure, ours), middle(figure, theirs), PTB, aim)
        yield Figure(section, f"CPU ms a message{ASIDE}", middle(cpu_ms, ours), middle(cpu_ms, theirs), PTB)
        for whose, name in ((1, "Telegram"), (2, "OpenAI")):
            yield Figure(section, f"the fake {name}, % of a core", median([burst.share(whose) for burst in ours]))
        within = self._burst(messages, self._folder.telegram_gateway)
        yield Figure(section, "replies a second, with the limit", within.rate, note=WITHIN)

    def _burst(self, messages: int, start: Start) -> Burst:
        with self._folder.fake() as fake:
            telegram = self._folder.telegram()
            server = start(fake, telegram)
            self._carry_out(telegram, server, WARM_UP, answered=True)
            self._tell(f"Telegram, {messages} messages: {server.name}")
            before = [one.usage().cpu_seconds for one in (server, telegram, fake)]
            result = self._carry_out(telegram, server, messages, answered=True)
            after = [one.usage() for one in (server, telegram, fake)]
        spent = (usage.cpu_seconds - earlier for usage, earlier in zip(after, before, strict=True))
        return Burst(result, after[0].peak_mb, tuple(spent))

    def _carry_out(
        self, telegram: Site, server: Server, messages: int, *, rate: float = 0.0, answered: bool = False
    ) -> Result:
        result = telegram.carry_out(Order(f"{server.url}/telegram/webhook", messages, rate, answered))
        self.errors += [f"{server.name}: {error}" for error in result.errors]
        return result
