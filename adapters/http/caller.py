"""Who calls /chat, and how often each caller may read or send a wrong key. Counted in this process; no I/O."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from gateway.domain.errors import Overloaded

MINUTE = 60.0
REFUSALS_PER_MINUTE: Final = 30
"""Requests with a wrong key that one network may send; more are not even looked at. A right key is never refused."""
MAX_CALLERS: Final = 20_000
"""Callers that are remembered; the one that called longest ago is forgotten first."""


def caller_name(owner: str, network: str) -> str:
    """Returns the name that limits and budgets know a caller by: its API key's digest, or its network without keys."""
    return f"key {owner}" if owner else f"address {network}"


class CallLimit:
    """A token bucket for each caller, in memory. Thread-safe."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_minute``: also how many calls may come at once; 0: no limit."""
        self._per_minute = per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each caller's bucket is full again."""
        self._lock = Lock()

    def check(self, caller: str) -> None:
        """Counts a call. Raises Overloaded (``rate_limited``) when it is one too many."""
        if not self._per_minute:
            return
        interval, now = MINUTE / self._per_minute, self._clock()
        with self._lock:
            before = max(self._full_at.pop(caller, now), now)
            is_allowed = before + interval / 2 < now + MINUTE
            self._full_at[caller] = before + interval if is_allowed else before
            if len(self._full_at) > MAX_CALLERS:
                self._full_at.popitem(last=False)
        if not is_allowed:
            raise Overloaded(
                f"More than {self._per_minute} such requests within a minute. Come back after Retry-After seconds.",
                code="rate_limited",
                retry_after=math.ceil(interval),
            )


class CallerLimits:
    """The limits of /chat beside that of messages."""

    def __init__(self, reads_per_minute: int) -> None:
        self._reads = CallLimit(reads_per_minute)
        self._refusals = CallLimit(REFUSALS_PER_MINUTE)

    def check_read(self, caller: str) -> None:
        """Counts a request that reads, cancels or deletes. Raises Overloaded."""
        self._reads.check(caller)

    def check_refused(self, network: str) -> None:
        """Counts a request with a wrong key. Raises Overloaded."""
        self._refusals.check(network)
