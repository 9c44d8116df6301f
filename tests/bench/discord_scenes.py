"""The Discord scene: a burst of direct messages over the gateway connection until all are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench.discord_processes import DiscordProcesses
from tests.bench.measurements import Measurement, median
from tests.bench.plan import BenchPlan
from tests.bench.processes import BenchServer
from tests.bench.slack_processes import StubServer
from tests.bench.slack_scenes import WARM_UP, BurstResult, cpu_ms, median_of
from tests.bench.slack_stub import EventOrder, EventResult

BASELINE = "discord.py, in memory"
FIGURES: tuple[tuple[str, Callable[[BurstResult], float]], ...] = (
    ("replies a second, without limits", lambda burst: burst.rate),
    ("CPU ms a message, without limits", cpu_ms),
    ("MB, max", lambda burst: burst.peak_mb),
)

StartProgram = Callable[[BenchServer, StubServer], BenchServer]
"""Starts a program with an OpenAI and a Discord to talk to."""


class DiscordScenes:
    """Runs the Discord scene in the sizes of the plan."""

    def __init__(self, processes: DiscordProcesses, plan: BenchPlan, report_progress: Callable[[str], None]) -> None:
        self._processes = processes
        self._plan = plan
        self._report_progress = report_progress
        self.errors: list[str] = []
        """What was not answered."""

    def measurements(self) -> Iterator[Measurement]:
        """Measures the median of the rounds against the baseline."""
        section = f"Discord: {self._plan.discord_burst} direct messages in as many channels"
        starts = (self._processes.start_discord_gateway, self._processes.start_discord_py)
        rounds = [[self._burst(start) for start in starts] for _ in range(self._plan.rounds)]
        ours, theirs = zip(*rounds, strict=True)
        for name, figure in FIGURES:
            yield Measurement(section, name, median_of(figure, ours), median_of(figure, theirs), BASELINE)
        for whose, name in ((1, "Discord"), (2, "OpenAI")):
            share = median([burst.core_share(whose) for burst in ours])
            yield Measurement(section, f"the fake {name}, % of a core", share)

    def _burst(self, start: StartProgram) -> BurstResult:
        with self._processes.start_fake_openai() as fake:
            discord = self._processes.start_discord_stub()
            server = start(fake, discord)
            self._send(discord, server, WARM_UP)
            self._report_progress(f"Discord, {self._plan.discord_burst} messages: {server.name}")
            before = [one.usage().cpu_seconds for one in (server, discord, fake)]
            result = self._send(discord, server, self._plan.discord_burst)
            after = [one.usage() for one in (server, discord, fake)]
        spent = (usage.cpu_seconds - earlier for usage, earlier in zip(after, before, strict=True))
        return BurstResult(result, after[0].peak_mb, tuple(spent))

    def _send(self, discord: StubServer, server: BenchServer, messages: int) -> EventResult:
        result = discord.run(EventOrder(server.url, messages, wait_for_replies=True))
        self.errors += [f"{server.name}: {error}" for error in result.errors]
        return result
