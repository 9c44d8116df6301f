"""The Telegram scenes: updates that arrive while runs wait, and a burst over many chats until all are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench.loading import wait_until
from tests.bench.measurements import Measurement, median, p99
from tests.bench.plan import SLACK_IN_FLIGHT, SLACK_RATE, THINK_SECONDS, BenchPlan
from tests.bench.processes import BenchServer
from tests.bench.slack_processes import StubServer
from tests.bench.slack_scenes import TARGETS, WARM_UP, BurstResult, acknowledged_rate, cpu_ms, median_of
from tests.bench.slack_stub import SENDERS, EventOrder, EventResult
from tests.bench.telegram_processes import TelegramProcesses

PTB_NAME = "python-telegram-bot, in memory"
WITHOUT_LIMITS = ", without limits"
LIMIT_NOTE = "Telegram allows 30 calls a second for a bot"

StartProgram = Callable[[BenchServer, StubServer], BenchServer]
"""Starts a program with an OpenAI and a Telegram to talk to."""


class TelegramScenes:
    """Runs the Telegram scenes in the sizes of the plan."""

    def __init__(self, processes: TelegramProcesses, plan: BenchPlan, report_progress: Callable[[str], None]) -> None:
        self._processes = processes
        self._plan = plan
        self._report_progress = report_progress
        self.errors: list[str] = []
        """Errors that senders got instead of a 200 or a reply."""

    def measurements(self) -> Iterator[Measurement]:
        yield from self._while_runs_wait()
        yield from self._bursts()

    # ------------------------------------------------------------ updates while runs wait

    def _while_runs_wait(self) -> Iterator[Measurement]:
        section = f"Telegram: updates while {SLACK_IN_FLIGHT} runs wait"
        crowd, on_plan = self._hold(self._processes.start_telegram_gateway, SLACK_IN_FLIGHT)
        their_crowd, their_plan = self._hold(self._processes.start_ptb, 0)
        yield Measurement(
            section,
            f"updates a second, {SENDERS} at once",
            acknowledged_rate(crowd),
            acknowledged_rate(their_crowd),
            PTB_NAME,
        )
        name = f"{SLACK_RATE:g} a second, ms to 200"
        yield Measurement(section, f"{name}: median", median(on_plan.times), median(their_plan.times), PTB_NAME)
        yield Measurement(section, f"{name}: p99", p99(on_plan.times), p99(their_plan.times), PTB_NAME)

    def _hold(self, start: StartProgram, in_flight: int) -> tuple[EventResult, EventResult]:
        """Returns the results of senders as fast as acknowledgements, and of senders at a fixed rate.

        ``in_flight``: how many runs must have started before that.
        """
        with self._processes.start_fake_openai(think=THINK_SECONDS) as fake:
            telegram = self._processes.start_telegram_stub()
            server = start(fake, telegram)
            self._report_progress(f"Telegram, {SLACK_IN_FLIGHT} runs waiting: {server.name}")
            self._send(telegram, server, SLACK_IN_FLIGHT)
            wait_until(lambda: fake.connections() >= in_flight, "not all runs were in flight at once")
            crowd = self._send(telegram, server, self._plan.slack_events)
            on_plan = self._send(telegram, server, int(SLACK_RATE * self._plan.rate_seconds), rate=SLACK_RATE)
            return crowd, on_plan

    # ------------------------------------------------------------ a burst

    def _bursts(self) -> Iterator[Measurement]:
        """Measures the median of the rounds against the baseline, without limits; and once with Telegram's limit."""
        messages = self._plan.telegram_burst
        section = f"Telegram: {messages} messages in as many chats"
        starts = (self._processes.start_unlimited_gateway, self._processes.start_ptb)
        rounds = [[self._burst(messages, start) for start in starts] for _ in range(self._plan.rounds)]
        ours, theirs = zip(*rounds, strict=True)
        for name, figure, aim in TARGETS:
            yield Measurement(
                section, f"{name}{WITHOUT_LIMITS}", median_of(figure, ours), median_of(figure, theirs), PTB_NAME, aim
            )
        yield Measurement(
            section, f"CPU ms a message{WITHOUT_LIMITS}", median_of(cpu_ms, ours), median_of(cpu_ms, theirs), PTB_NAME
        )
        for whose, name in ((1, "Telegram"), (2, "OpenAI")):
            yield Measurement(
                section, f"the fake {name}, % of a core", median([burst.core_share(whose) for burst in ours])
            )
        within = self._burst(messages, self._processes.start_telegram_gateway)
        yield Measurement(section, "replies a second, with the limit", within.rate, note=LIMIT_NOTE)

    def _burst(self, messages: int, start: StartProgram) -> BurstResult:
        with self._processes.start_fake_openai() as fake:
            telegram = self._processes.start_telegram_stub()
            server = start(fake, telegram)
            self._send(telegram, server, WARM_UP, answered=True)
            self._report_progress(f"Telegram, {messages} messages: {server.name}")
            before = [one.usage().cpu_seconds for one in (server, telegram, fake)]
            result = self._send(telegram, server, messages, answered=True)
            after = [one.usage() for one in (server, telegram, fake)]
        spent = (usage.cpu_seconds - earlier for usage, earlier in zip(after, before, strict=True))
        return BurstResult(result, after[0].peak_mb, tuple(spent))

    def _send(
        self, telegram: StubServer, server: BenchServer, messages: int, *, rate: float = 0.0, answered: bool = False
    ) -> EventResult:
        result = telegram.run(EventOrder(f"{server.url}/telegram/webhook", messages, rate, answered))
        self.errors += [f"{server.name}: {error}" for error in result.errors]
        return result
