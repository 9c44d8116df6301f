"""The Slack scenes: events that arrive while runs wait, and a burst of direct messages until all are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.bench.loading import wait_until
from tests.bench.measurements import Measurement, PerformanceTarget, at_least_times, median, p99
from tests.bench.plan import SLACK_IN_FLIGHT, SLACK_RATE, THINK_SECONDS, BenchPlan
from tests.bench.processes import BenchServer
from tests.bench.slack_processes import SlackProcesses, StubServer
from tests.bench.slack_stub import SENDERS, EventOrder, EventResult
from tests.conformance.npm import NpmUnavailable

BOLT = "Bolt for Python, in memory"
BOLT_JS = "Bolt for Node, in memory"
NODE_LIBRARY = "a Node library, in memory, measured elsewhere"
NODE_LIBRARY_RESULTS = (274.0, 174.0, 182.0)
"""The best of several runs: answers a second (210 to 274), ms to acknowledge (174 to 212), MB.

With 600 direct messages of 50 senders on two cores, a fake Slack and a fake backend on the same machine.
"""
WARM_UP = SENDERS

StartProgram = Callable[[BenchServer, StubServer], BenchServer]
"""Starts a program with an OpenAI and a Slack to talk to. Raises NpmUnavailable."""


@dataclass(frozen=True)
class BurstResult:
    """The result of a burst on one program."""

    result: EventResult
    peak_mb: float
    cpu_seconds: tuple[float, ...]
    """Of the program, the Slack stub and the fake OpenAI."""

    @property
    def rate(self) -> float:
        """Replies per second."""
        return len(self.result.times) / self.result.answered_seconds

    def core_share(self, index: int) -> float:
        """Returns the CPU use in percent of one core."""
        return 100 * self.cpu_seconds[index] / self.result.answered_seconds


class SlackScenes:
    """Runs the Slack scenes in the sizes of the plan."""

    def __init__(self, processes: SlackProcesses, plan: BenchPlan, report_progress: Callable[[str], None]) -> None:
        self._processes = processes
        self._plan = plan
        self._report_progress = report_progress
        self.errors: list[str] = []
        """Errors that senders got instead of a 200 or a reply."""

    def measurements(self) -> Iterator[Measurement]:
        yield from self._while_runs_wait()
        for messages in self._plan.slack_bursts:
            yield from self._bursts(messages)

    # ------------------------------------------------------------ events while runs wait

    def _while_runs_wait(self) -> Iterator[Measurement]:
        section = f"Slack: events while {SLACK_IN_FLIGHT} runs wait"
        crowd, on_plan = self._hold(self._processes.start_slack_gateway)
        their_crowd, their_plan = self._hold(self._processes.start_bolt)
        yield Measurement(
            section,
            f"events a second, {SENDERS} at once",
            acknowledged_rate(crowd),
            acknowledged_rate(their_crowd),
            BOLT,
        )
        name = f"{SLACK_RATE:g} a second, ms to 200"
        yield Measurement(section, f"{name}: median", median(on_plan.times), median(their_plan.times), BOLT)
        yield Measurement(section, f"{name}: p99", p99(on_plan.times), p99(their_plan.times), BOLT)

    def _hold(self, start: StartProgram) -> tuple[EventResult, EventResult]:
        """Returns the results of senders as fast as acknowledgements, and of senders at a fixed rate."""
        with self._processes.start_fake_openai(think=THINK_SECONDS) as fake:
            slack = self._processes.start_slack_stub()
            server = start(fake, slack)
            self._report_progress(f"Slack, {SLACK_IN_FLIGHT} runs waiting: {server.name}")
            self._send(slack, server, SLACK_IN_FLIGHT)
            if start == self._processes.start_slack_gateway:  # Bolt has five listeners, so its other runs do not start
                wait_until(lambda: fake.connections() >= SLACK_IN_FLIGHT, "not all runs were in flight at once")
            crowd = self._send(slack, server, self._plan.slack_events)
            on_plan = self._send(slack, server, int(SLACK_RATE * self._plan.rate_seconds), rate=SLACK_RATE)
            return crowd, on_plan

    # ------------------------------------------------------------ a burst

    def _bursts(self, messages: int) -> Iterator[Measurement]:
        """Measures the median of the rounds against the other programs."""
        section = f"Slack: {messages} direct messages of {SENDERS} senders"
        bursts: dict[str, list[BurstResult]] = {}
        starts = {
            "": self._processes.start_slack_gateway,
            BOLT: self._processes.start_bolt,
            BOLT_JS: self._processes.start_bolt_js,
        }
        for _ in range(self._plan.rounds):
            for name, start in starts.items():
                with suppress(NpmUnavailable):
                    bursts.setdefault(name, []).append(self.burst(messages, start))
        ours = bursts.pop("")
        for (name, figure, aim), elsewhere in zip(TARGETS, NODE_LIBRARY_RESULTS, strict=True):
            for other, theirs in bursts.items():
                yield Measurement(
                    section,
                    name,
                    median_of(figure, ours),
                    median_of(figure, theirs),
                    other,
                    _target_against(other, aim),
                )
            yield Measurement(section, name, median_of(figure, ours), elsewhere, NODE_LIBRARY, aim)
        for other, theirs in bursts.items():
            yield Measurement(section, "CPU ms a message", median_of(cpu_ms, ours), median_of(cpu_ms, theirs), other)
        for whose, name in ((1, "Slack"), (2, "OpenAI")):
            yield Measurement(
                section, f"the fake {name}, % of a core", median([burst.core_share(whose) for burst in ours])
            )

    def burst(
        self, messages: int, start: StartProgram, server_cpu_seconds: Callable[[], float] = lambda: 0.0
    ) -> BurstResult:
        """Measures one program. ``server_cpu_seconds``: of what works for it besides; counted as the program's own."""
        with self._processes.start_fake_openai() as fake:
            slack = self._processes.start_slack_stub()
            server = start(fake, slack)
            self._send(slack, server, WARM_UP, answered=True)
            self._report_progress(f"Slack, {messages} direct messages: {server.name}")
            besides = server_cpu_seconds()
            before = [one.usage().cpu_seconds for one in (server, slack, fake)]
            result = self._send(slack, server, messages, answered=True)
            after = [one.usage() for one in (server, slack, fake)]
            besides = server_cpu_seconds() - besides
        own, *others = (usage.cpu_seconds - earlier for usage, earlier in zip(after, before, strict=True))
        return BurstResult(result, after[0].peak_mb, (own + besides, *others))

    def _send(
        self, slack: StubServer, server: BenchServer, messages: int, *, rate: float = 0.0, answered: bool = False
    ) -> EventResult:
        result = slack.run(EventOrder(f"{server.url}/slack/events", messages, rate, answered))
        self.errors += [f"{server.name}: {error}" for error in result.errors]
        return result


def at_most_times(factor: float) -> PerformanceTarget:
    return PerformanceTarget(f"≤ {factor:.2g}x", lambda ours, theirs: ours <= factor * theirs)


TARGETS: tuple[tuple[str, Callable[[BurstResult], float], PerformanceTarget], ...] = (
    ("replies a second", lambda burst: burst.rate, at_least_times(1.5)),
    ("ms to 200, median", lambda burst: median(burst.result.times), at_most_times(1 / 5)),
    ("MB, max", lambda burst: burst.peak_mb, at_most_times(2 / 3)),
)
"""Targets against programs in Node."""


def acknowledged_rate(result: EventResult) -> float:
    return len(result.times) / result.acknowledged_seconds


def cpu_ms(burst: BurstResult) -> float:
    """Returns CPU milliseconds per message, of the program alone."""
    return 1000 * burst.cpu_seconds[0] / len(burst.result.times)


def median_of(measure: Callable[[BurstResult], float], bursts: Sequence[BurstResult]) -> float:
    return median([measure(burst) for burst in bursts])


def _target_against(other: str, target: PerformanceTarget) -> PerformanceTarget | None:
    return target if other == BOLT_JS else None
