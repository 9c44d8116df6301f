"""Computes what the overview shows from usage buckets: totals, percentiles, and plot data. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.ports.reporting import LATENCY_BOUNDS, UsageBucket
from gateway.ports.store import QueueDepth

DAY = 86_400.0
MIN_STEP_FRACTION = 0.5
"""Minimum elapsed fraction of the current step: a rate over a shorter time would fluctuate."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range of the overview. Durations are in seconds."""

    name: str
    title: str
    length: float
    step: float
    """Between two points of a plot."""
    refresh: float
    """Between two refreshes of an open page."""


TIME_RANGES: Mapping[str, TimeRange] = {
    span.name: span
    for span in (
        TimeRange("1h", "1 hour", 3600.0, 60.0, 5.0),
        TimeRange("24h", "24 hours", DAY, 900.0, 15.0),
        TimeRange("7d", "7 days", 7 * DAY, 7200.0, 60.0),
        TimeRange("30d", "30 days", 30 * DAY, 21_600.0, 120.0),
    )
}


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """``at``: start of each step in seconds since the epoch. ``kind``: "lines", "bars" (stacked) or "queue"."""

    name: str
    title: str
    unit: str
    kind: str
    step: float
    at: Sequence[float]
    series: Sequence[Series]

    @property
    def rows(self) -> Sequence[tuple[float, Sequence[float | None]]]:
        """Returns the rows of a table, newest first, without empty steps."""
        columns = zip(*(series.values for series in self.series), strict=True)
        return [(at, row) for at, row in zip(self.at, columns, strict=False) if any(row)][::-1]


@dataclass(frozen=True, slots=True)
class Totals:
    received: int
    answered: int
    cancelled: int
    failures: Mapping[str, int]
    """By error code, the most frequent first."""
    p50: float | None
    p95: float | None
    tokens_in: int
    tokens_out: int
    cost: int

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


@dataclass(frozen=True, slots=True)
class Window:
    """The steps of a time range up to now. The first step is complete, the last one is still running."""

    at: Sequence[float]
    step: float
    now: float

    @classmethod
    def up_to(cls, now: float, length: float, step: float) -> Window:
        last, count = now // step, round(length / step)
        return cls([(last - back) * step for back in reversed(range(count))], step, now)

    @property
    def since(self) -> float:
        return self.at[0]

    def from_first(self, buckets: Iterable[UsageBucket], min_steps: int) -> Window:
        """Returns the window from the step before the first one with turns, of at least ``min_steps`` steps.

        So what happened is not squeezed into the end of a plot that is empty otherwise.
        """
        first = min((bucket.start for bucket in buckets), default=self.at[-1])
        empty = sum(at < first for at in self.at)
        return Window(self.at[max(0, min(empty - 1, len(self.at) - min_steps)) :], self.step, self.now)

    def elapsed(self, at: float) -> float:
        """Returns the elapsed seconds of a step, at least MIN_STEP_FRACTION of it."""
        return max(min(self.step, self.now - at), MIN_STEP_FRACTION * self.step)


# ---------------------------------------------------------------- counting


def percentile(counts: Sequence[int], fraction: float) -> float | None:
    """Returns the seconds within which this fraction was answered, from ``UsageBucket.times``; None without answers.

    Interpolates linearly within a histogram bucket. Times above the last bound of TIMES count as that bound.
    """
    rank, before = fraction * sum(counts), 0
    for count, low, high in zip(counts, (0.0, *LATENCY_BOUNDS), (*LATENCY_BOUNDS, LATENCY_BOUNDS[-1]), strict=False):
        if count and before + count >= rank:
            return low + (high - low) * (rank - before) / count
        before += count
    return None


def totals(buckets: Iterable[UsageBucket]) -> Totals:
    every = tuple(buckets)
    failures: Counter[str] = Counter()
    for tally in every:
        failures.update(tally.failures)
    times = _summed_times(every)
    return Totals(
        received=sum(tally.received for tally in every),
        answered=sum(tally.answered for tally in every),
        cancelled=sum(tally.cancelled for tally in every),
        failures=dict(failures.most_common()),
        p50=percentile(times, 0.5),
        p95=percentile(times, 0.95),
        tokens_in=sum(tally.tokens_in for tally in every),
        tokens_out=sum(tally.tokens_out for tally in every),
        cost=sum(tally.cost for tally in every),
    )


def _summed_times(buckets: Iterable[UsageBucket]) -> Sequence[int]:
    return [
        sum(counts) for counts in zip(*(tally.latency_counts for tally in buckets if tally.latency_counts), strict=True)
    ]


# ---------------------------------------------------------------- plots


def rate(window: Window, buckets: Sequence[UsageBucket]) -> Plot:
    series = _by_platform(window, buckets, lambda tally: 60 * tally.received / window.elapsed(tally.start))
    return Plot("rate", "Turns per minute", "per minute", "lines", window.step, window.at, series)


def answer_time(window: Window, buckets: Sequence[UsageBucket]) -> Plot:
    steps = _by_step(window, buckets)
    series = [
        Series(name, [percentile(_summed_times(step), share) for step in steps])
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]
    return Plot("time", "Time to answer", "s", "lines", window.step, window.at, series)


def failures(window: Window, buckets: Sequence[UsageBucket]) -> Plot:
    steps = _by_step(window, buckets)
    series = [
        Series(code or "unknown", [sum(tally.failures.get(code, 0) for tally in step) for step in steps])
        for code in totals(buckets).failures
    ]
    return Plot("failures", "Failures by reason", "turns", "bars", window.step, window.at, series)


def tokens(days: Window, buckets: Sequence[UsageBucket]) -> Plot:
    series = _by_platform(days, buckets, lambda tally: tally.tokens_in + tally.tokens_out)
    return Plot("tokens", "Tokens per day", "tokens", "bars", days.step, days.at, series)


def cost(days: Window, buckets: Sequence[UsageBucket]) -> Plot:
    series = _by_platform(days, buckets, lambda tally: tally.cost / 1e6)
    return Plot("cost", "Cost per day", "cost", "bars", days.step, days.at, series)


def queue(now: float, depths: Sequence[QueueDepth], platforms: Sequence[str]) -> Plot:
    """Returns the current queue as one point; an open page collects the points of its refreshes."""
    turns = {depth.platform: depth.unfinished for depth in depths}
    series = [Series(platform, [turns.get(platform, 0)]) for platform in sorted({*platforms, *turns})]
    oldest = max((depth.oldest_age_seconds for depth in depths), default=0.0)
    return Plot("queue", "Queue", "turns", "queue", 0.0, [now], [*series, Series("oldest", [round(oldest, 1)])])


def _by_step(window: Window, buckets: Sequence[UsageBucket]) -> Sequence[Sequence[UsageBucket]]:
    found: dict[float, list[UsageBucket]] = {at: [] for at in window.at}
    for tally in buckets:
        found.get(tally.start, []).append(tally)
    return [found[at] for at in window.at]


def _by_platform(
    window: Window, buckets: Sequence[UsageBucket], value: Callable[[UsageBucket], float]
) -> Sequence[Series]:
    found = {(tally.platform, tally.start): value(tally) for tally in buckets}
    platforms = sorted({tally.platform for tally in buckets})
    return [Series(platform, [found.get((platform, at), 0) for at in window.at]) for platform in platforms]
