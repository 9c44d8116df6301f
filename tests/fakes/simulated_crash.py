"""Simulates the death of a process at a given step of its work."""

from __future__ import annotations


class SimulatedCrash(BaseException):
    """Raised where the process dies; a BaseException, so that no handler of errors catches it."""


class CrashAfterSteps:
    """Counts the steps of a process and raises SimulatedCrash after ``at`` of them; never if ``at`` is not positive."""

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.at > 0:
            raise SimulatedCrash
