"""What Discord has said of channels and roles, which events name by their ids only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from adapters.base.expiring_cache import ExpiringCache

Value = TypeVar("Value")

MAX_KNOWN = 20_000
REFUSED_SECONDS = 600.0
"""After which Discord is asked again for what is gone, or what the bot may not see: it may be let in."""


class Known(ExpiringCache[Value]):
    """Keeps what was learnt until it is said otherwise, and what stands for a refusal for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: returns seconds."""
        super().__init__(MAX_KNOWN, clock)

    def learn(self, number: str, value: Value) -> Value:
        self.set(number, value, math.inf)
        return value

    def refused(self, number: str, value: Value) -> Value:
        """``value``: what a thing is taken for of which Discord says nothing."""
        self.set(number, value, REFUSED_SECONDS)
        return value
