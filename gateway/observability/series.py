"""The series of a metric by their labels, and the counters and histograms of a process that shares no folder.

Those are plain numbers. The library's own take a lock and several calls for each, so that any thread may count; here
the event loop alone counts, and what the library shows is made when somebody collects.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LabelValues = tuple[str, ...]
S = TypeVar("S")


class Counts(Protocol):
    """A counter's series, of this process or of the library."""

    def inc(self, amount: float = 1, /) -> None:
        """Adds an amount that is not negative."""


class Observes(Protocol):
    """A histogram's series, of this process or of the library."""

    def observe(self, amount: float, /) -> None:
        """Counts an amount in the first bucket whose bound it does not exceed."""


class Series(dict[str | LabelValues, S]):
    """A metric's series by their labels, of which the platform is the first. One is made when it is first asked for."""

    def __init__(self, make: Callable[..., S], before_new: Callable[[str], None]) -> None:
        """``make``: returns the series of some labels. ``before_new``: is told the platform of one that is new here."""
        super().__init__()
        self._make = make
        self._before_new = before_new

    def __missing__(self, labels: str | LabelValues) -> S:
        values = (labels,) if isinstance(labels, str) else labels
        self._before_new(values[0])
        made = self[labels] = self._make(*values)
        return made

    def show(self, labels: str | LabelValues) -> None:
        """Makes a series, at 0."""
        self[labels]


# ---------------------------------------------------------------- of this process


@dataclass(slots=True)
class ProcessCount:
    """A number that grows. One thread counts; any may read it."""

    value: float = 0.0
    created: float = field(default_factory=time.time)

    def inc(self, amount: float = 1, /) -> None:
        self.value += amount


class ProcessCounter(Collector):
    """A counter of this process, as the library's Counter shows it."""

    def __init__(self, name: str, about: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._family = partial(CounterMetricFamily, name, about, labels=labels)
        self._series: dict[LabelValues, ProcessCount] = {}
        registry.register(self)

    def labels(self, *values: str) -> ProcessCount:
        return self._series.setdefault(values, ProcessCount())

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family, shows_created = self._family(), _shows_created()
        for values, series in self._series.copy().items():
            family.add_metric(values, series.value, series.created if shows_created else None)
        return [family]


@dataclass(slots=True)
class ProcessTimes:
    """How many amounts fell between two bounds, and their sum. One thread observes; any may read it."""

    bounds: Sequence[float]
    """Of all buckets but the last, which has none."""
    buckets: list[int]
    total: float = 0.0
    created: float = field(default_factory=time.time)

    def observe(self, amount: float, /) -> None:
        self.buckets[bisect_left(self.bounds, amount)] += 1
        self.total += amount


class ProcessHistogram(Collector):
    """A histogram of this process, as the library's Histogram shows it."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str], registry: CollectorRegistry, *, buckets: Sequence[float]
    ) -> None:
        self._family = partial(HistogramMetricFamily, name, about, labels=labels)
        self._label_names = labels
        self._bounds = buckets
        self._series: dict[LabelValues, ProcessTimes] = {}
        registry.register(self)

    def labels(self, *values: str) -> ProcessTimes:
        return self._series.setdefault(values, ProcessTimes(self._bounds, [0] * (len(self._bounds) + 1)))

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family, shows_created = self._family(), _shows_created()
        names = [*map(str, self._bounds), "+Inf"]
        for values, series in self._series.copy().items():
            family.add_metric(values, [*zip(names, accumulate(series.buckets), strict=True)], series.total)
            if shows_created:
                labels = dict(zip(self._label_names, values, strict=True))
                family.add_sample(f"{family.name}_created", labels, series.created)
        return [family]


def _shows_created() -> bool:
    """Returns whether the library shows when a series began, which PROMETHEUS_DISABLE_CREATED_SERIES decides."""
    (family,) = Counter("any", "Any.", registry=None).collect()
    return len(family.samples) > 1
