"""Measurements and their targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Verdict = Callable[[float, float], bool]
"""Returns whether the gateway's value and the baseline meet the target."""


@dataclass(frozen=True, slots=True)
class Aim:
    text: str
    met: Verdict


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    section: str
    name: str
    ours: float
    theirs: float | None = None
    note: str = ""
    """For example what the baseline is."""
    aim: Aim | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.aim is None:
            return None
        return self.aim.met(self.ours, math.nan if self.theirs is None else self.theirs)


def at_most_more(much: float) -> Aim:
    return Aim(f"≤ +{much:g}", lambda ours, theirs: ours - theirs <= much)


def at_least_times(factor: float) -> Aim:
    return Aim(f"≥ {factor:g}x", lambda ours, theirs: ours >= factor * theirs)


def at_least(limit: float) -> Aim:
    return Aim(f"≥ {limit:g}", lambda ours, _: ours >= limit)


def at_most(limit: float) -> Aim:
    return Aim(f"≤ {limit:g}", lambda ours, _: ours <= limit)


def below(limit: float) -> Aim:
    return Aim(f"< {limit:g}", lambda ours, _: ours < limit)


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def p99(samples: Sequence[float]) -> float:
    """Returns the smallest sample that at least 99% of the samples do not exceed."""
    return sorted(samples)[math.ceil(0.99 * len(samples)) - 1]
