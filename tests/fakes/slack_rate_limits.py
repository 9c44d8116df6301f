"""Slack's rate limits: docs.slack.dev/apis/web-api/rate-limits."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

MINUTE = 60.0
CALLS_PER_MINUTE: Final = {1: 1, 2: 20, 3: 50, 4: 100}
"""Calls a minute."""


class SlackRateLimiter:
    """Counts calls of each method in each workspace over a minute, and posts in each channel over a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: dict[tuple[str, ...], deque[float]] = {}

    def seconds_to_wait(self, team: str, method: str, per_minute: int) -> int:
        """Returns the seconds to wait, at least 1; 0 when the call is allowed, which is then counted."""
        return self._count((team, method), per_minute, MINUTE)

    def seconds_to_wait_to_post(self, team: str, channel: str) -> int:
        """Like ``seconds_to_wait``, for the limit of one post a second in a channel."""
        return self._count((team, "chat.postMessage", channel), 1, 1.0)

    def _count(self, key: tuple[str, ...], limit: int, window: float) -> int:
        now = self._clock()
        seen = self._calls.setdefault(key, deque())
        while seen and seen[0] <= now - window:
            seen.popleft()
        if len(seen) >= limit:
            return max(1, math.ceil(seen[0] + window - now))
        seen.append(now)
        return 0
