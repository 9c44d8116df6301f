"""A clock that advances only when a test sets it: ``FakeSlack(clock=clock)``, ``FakeTelegram(clock=clock)``."""

from __future__ import annotations


class Clock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
