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
class Limit:
    """At most ``max_messages`` within a window of ``seconds``."""

    most: int
    window: float


PRIVATE = (Limit(3, 3.0),)
"""One message a second, with bursts of three."""
GROUP = (Limit(3, 3.0), Limit(20, 60.0))
OVERALL = (Limit(30, 1.0),)


@dataclass(slots=True)
class _Seen:
    limit: Limit
    times: deque[float] = field(default_factory=deque)

    def wait(self, now: float, weight: int) -> float:
        """Returns the seconds until ``weight`` more messages are allowed; 0 when they are allowed now."""
        while self.times and self.times[0] <= now - self.limit.window:
            self.times.popleft()
        over = len(self.times) + weight - self.limit.most
        if over <= 0 or not self.times:
            return 0.0
        return self.times[min(over, len(self.times)) - 1] + self.limit.window - now


class Limits:
    """Counts a bot's messages in each chat and in all chats, over ``clock`` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[int | None, list[_Seen]] = {None: [_Seen(limit) for limit in OVERALL]}

    def take(self, chat_id: int | None, weight: int = 1) -> int:
        """Returns the seconds to wait, at least 1; 0 when the messages are allowed, which are then counted. Without a
        chat only the overall limit applies.
        """
        now = self._clock()
        counted = self._seen[None] + ([] if chat_id is None else self._of(chat_id))
        wait = max(seen.wait(now, weight) for seen in counted)
        if wait > 0:
            return max(1, math.ceil(wait))
        for seen in counted:
            seen.times.extend([now] * weight)
        return 0

    def _of(self, chat_id: int) -> list[_Seen]:
        found = self._seen.get(chat_id)
        if found is None:
            limits = PRIVATE if chat_id > 0 else GROUP
            found = self._seen[chat_id] = [_Seen(limit) for limit in limits]
        return found
