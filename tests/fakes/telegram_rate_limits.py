"""Telegram's rate limits: core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this.

Sends and edits count together: github.com/tdlib/td/issues/2587. How large the bursts are that Telegram allows is not
documented; the ones here are small.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most ``max_messages`` within a window of ``seconds``."""

    max_messages: int
    seconds: float


PRIVATE = (RateWindow(3, 3.0),)
"""One message a second, with bursts of three."""
GROUP = (RateWindow(3, 3.0), RateWindow(20, 60.0))
OVERALL = (RateWindow(30, 1.0),)


@dataclass(slots=True)
class _WindowCounter:
    window: RateWindow
    times: deque[float] = field(default_factory=deque)

    def seconds_to_wait(self, now: float, weight: int) -> float:
        """Returns the seconds until ``weight`` more messages are allowed; 0 when they are allowed now."""
        while self.times and self.times[0] <= now - self.window.seconds:
            self.times.popleft()
        over = len(self.times) + weight - self.window.max_messages
        if over <= 0 or not self.times:
            return 0.0
        return self.times[min(over, len(self.times)) - 1] + self.window.seconds - now


class TelegramRateLimiter:
    """Counts a bot's messages in each chat and in all chats, over ``clock`` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counters: dict[int | None, list[_WindowCounter]] = {None: [_WindowCounter(limit) for limit in OVERALL]}

    def seconds_to_wait(self, chat_id: int | None, weight: int = 1) -> int:
        """Returns the seconds to wait, at least 1; 0 when the messages are allowed, which are then counted. Without a
        chat only the overall limit applies.
        """
        now = self._clock()
        counted = self._counters[None] + ([] if chat_id is None else self._counters_of(chat_id))
        wait = max(seen.seconds_to_wait(now, weight) for seen in counted)
        if wait > 0:
            return max(1, math.ceil(wait))
        for seen in counted:
            seen.times.extend([now] * weight)
        return 0

    def _counters_of(self, chat_id: int) -> list[_WindowCounter]:
        found = self._counters.get(chat_id)
        if found is None:
            limits = PRIVATE if chat_id > 0 else GROUP
            found = self._counters[chat_id] = [_WindowCounter(limit) for limit in limits]
        return found
