"""Measurements and their targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TargetCheck = Callable[[float, float], bool]
"""Returns whether the gateway's value and the baseline meet the target."""


@dataclass(frozen=True, slots=True)
class PerformanceTarget:
    text: str
    is_met: TargetCheck


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the table."""

    section: str
    name: str
    value: float
    baseline: float | None = None
    note: str = ""
    """For example what the baseline is."""
    target: PerformanceTarget | None = None

    @property
    def target_met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.target.is_met(self.value, math.nan if self.baseline is None else self.baseline)


def at_most_more(limit: float) -> PerformanceTarget:
    return PerformanceTarget(f"≤ +{limit:g}", lambda ours, theirs: ours - theirs <= limit)


def at_least_times(factor: float) -> PerformanceTarget:
    return PerformanceTarget(f"≥ {factor:g}x", lambda ours, theirs: ours >= factor * theirs)


def at_most_times(factor: float) -> PerformanceTarget:
    return PerformanceTarget(f"≤ {factor:g}x", lambda ours, theirs: ours <= factor * theirs)


def at_least(limit: float) -> PerformanceTarget:
    return PerformanceTarget(f"≥ {limit:g}", lambda ours, _: ours >= limit)


def at_most(limit: float) -> PerformanceTarget:
    return PerformanceTarget(f"≤ {limit:g}", lambda ours, _: ours <= limit)


def below(limit: float) -> PerformanceTarget:
    return PerformanceTarget(f"< {limit:g}", lambda ours, _: ours < limit)


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def p99(samples: Sequence[float]) -> float:
    return percentile(samples, 0.99)


def percentile(samples: Sequence[float], share: float) -> float:
    """Returns the smallest sample that at least this share of the samples does not exceed."""
    return sorted(samples)[math.ceil(share * len(samples)) - 1]
