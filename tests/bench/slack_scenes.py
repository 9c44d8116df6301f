"""The Slack scenes: events that arrive while runs wait, and a burst of direct messages until all are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.bench.loading import wait_until
from tests.bench.measurements import Aim, Figure, at_least_times, median, p99
from tests.bench.plan import SLACK_IN_FLIGHT, SLACK_RATE, THINK_SECONDS, Plan
from tests.bench.processes import Server
from tests.bench.slack_processes import Site, SlackFolder
from tests.bench.slack_stub import SENDERS, Order, Result
from tests.conformance.npm import NotToBeHad

BOLT = "Bolt for Python, in memory"
BOLT_JS = "Bolt for Node, in memory"
ELSEWHERE = "a Node library, in memory, measured elsewhere"
ELSEWHERE_FIGURES = (274.0, 174.0, 182.0)
"""The best of several runs: answers a second (210 to 274), ms to acknowledge (174 to 212), MB.

With 600 direct messages of 50 senders on two cores, a fake Slack and a fake backend on the same machine.
"""
WARM_UP = 10

Start = Callable[[Server, Site], Server]
"""Starts a program with an OpenAI and a Slack to talk to. Raises NpmUnavailable."""


@dataclass(frozen=True)
class Burst:
    """The result of a burst on one program."""

    result: Result
    peak_mb: float
    cpu_seconds: tuple[float, ...]
    """Of the program, the Slack stub and the fake OpenAI."""

    @property
    def rate(self) -> float:
        """Replies per second."""
        return len(self.result.times) / self.result.answered_seconds

    def share(self, whose: int) -> float:
        """Returns the CPU use in percent of one core."""
        return 100 * self.cpu_seconds[whose] / self.result.answered_seconds


class SlackScenes:
    """Runs the Slack scenes in the sizes of the plan."""

    def __init__(self, folder: SlackFolder, plan: Plan, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._plan = plan
        self._tell = tell
        self.errors: list[str] = []
        """Errors that senders got instead of a 200 or a reply."""

    def figures(self) -> Iterator[Figure]:
        yield from self._while_runs_wait()
        for messages in self._plan.slack_bursts:
            yield from self._bursts(messages)

    # ------------------------------------------------------------ events while runs wait

    def _while_runs_wait(self) -> Iterator[Figure]:
        section = f"Slack: events while {SLACK_IN_FLIGHT} runs wait"
        crowd, on_plan = self._hold(self._folder.slack_gateway)
        their_crowd, their_plan = self._hold(self._folder.bolt)
        yield Figure(section, f"events a second, {SENDERS} at once", rate_of(crowd), rate_of(their_crowd), BOLT)
        name = f"{SLACK_RATE:g} a second, ms to 200"
        yield Figure(section, f"{name}: median", median(on_plan.times), median(their_plan.times), BOLT)
        yield Figure(section, f"{name}: p99", p99(on_plan.times), p99(their_plan.times), BOLT)

    def _hold(self, start: Start) -> tuple[Result, Result]:
        """Returns the results of senders as fast as acknowledgements, and of senders at a fixed rate."""
        with self._folder.fake(think=THINK_SECONDS) as fake:
            slack = self._folder.slack()
            server = start(fake, slack)
            self._tell(f"Slack, {SLACK_IN_FLIGHT} runs waiting: {server.name}")
            self._carry_out(slack, server, SLACK_IN_FLIGHT)
            if start == self._folder.slack_gateway:  # Bolt has five listeners, so its other runs do not start
                wait_until(lambda: fake.connections() >= SLACK_IN_FLIGHT, "not all runs were in flight at once")
            crowd = self._carry_out(slack, server, self._plan.slack_events)
            on_plan = self._carry_out(slack, server, int(SLACK_RATE * self._plan.rate_seconds), rate=SLACK_RATE)
            return crowd, on_plan

    # ------------------------------------------------------------ a burst

    def _bursts(self, messages: int) -> Iterator[Figure]:
        """Measures the median of the rounds against the other programs."""
        section = f"Slack: {messages} direct messages of {SENDERS} senders"
        bursts: dict[str, list[Burst]] = {}
        starts = {"": self._folder.slack_gateway, BOLT: self._folder.bolt, BOLT_JS: self._folder.bolt_js}
        for _ in range(self._plan.rounds):
            for name, start in starts.items():
                with suppress(NotToBeHad):
                    bursts.setdefault(name, []).append(self._burst(messages, start))
        ours = bursts.pop("")
        for (name, figure, aim), elsewhere in zip(AIMED, ELSEWHERE_FIGURES, strict=True):
            for other, theirs in bursts.items():
                yield Figure(section, name, middle(figure, ours), middle(figure, theirs), other, _aim(other, aim))
            yield Figure(section, name, middle(figure, ours), elsewhere, ELSEWHERE, aim)
        for other, theirs in bursts.items():
            yield Figure(section, "CPU ms a message", middle(cpu_ms, ours), middle(cpu_ms, theirs), other)
        for whose, name in ((1, "Slack"), (2, "OpenAI")):
            yield Figure(section, f"the fake {name}, % of a core", median([burst.share(whose) for burst in ours]))

    def _burst(self, messages: int, start: Start) -> Burst:
        with self._folder.fake() as fake:
            slack = self._folder.slack()
            server = start(fake, slack)
            self._carry_out(slack, server, WARM_UP, answered=True)
            self._tell(f"Slack, {messages} direct messages: {server.name}")
            before = [one.usage().cpu_seconds for one in (server, slack, fake)]
            result = self._carry_out(slack, server, messages, answered=True)
            after = [one.usage() for one in (server, slack, fake)]
        spent = (usage.cpu_seconds - earlier for usage, earlier in zip(after, before, strict=True))
        return Burst(result, after[0].peak_mb, tuple(spent))

    def _carry_out(
        self, slack: Site, server: Server, messages: int, *, rate: float = 0.0, answered: bool = False
    ) -> Result:
        result = slack.carry_out(Order(f"{server.url}/slack/events", messages, rate, answered))
        self.errors += [f"{server.name}: {error}" for error in result.errors]
        return result


def at_most_times(factor: float) -> Aim:
    return Aim(f"≤ {factor:.2g}x", lambda ours, theirs: ours <= factor * theirs)


AIMED: tuple[tuple[str, Callable[[Burst], float], Aim], ...] = (
    ("replies a second", lambda burst: burst.rate, at_least_times(1.5)),
    ("ms to 200, median", lambda burst: median(burst.result.times), at_most_times(1 / 5)),
    ("MB, max", lambda burst: burst.peak_mb, at_most_times(2 / 3)),
)
"""Targets against programs in Node."""


def rate_of(result: Result) -> float:
    return len(result.times) / result.taken_seconds


def cpu_ms(burst: Burst) -> float:
    """Returns CPU milliseconds per message, of the program alone."""
    return 1000 * burst.cpu_seconds[0] / len(burst.result.times)


def middle(figure: Callable[[Burst], float], bursts: Sequence[Burst]) -> float:
    return median([figure(burst) for burst in bursts])


def _aim(other: str, aim: Aim) -> Aim | None:
    return aim if other == BOLT_JS else None
