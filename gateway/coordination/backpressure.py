"""Rejects new messages while too many turns are unfinished, in total or of one platform."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from gateway.domain.errors import Overloaded
from gateway.domain.models import Message, MessageKind
from gateway.ports.store import QueueDepth

RETRY_AFTER = 10.0
OVERLOADED_MESSAGE = "Too many messages wait for an answer right now. Please send this one again in a minute."


class Backpressure:
    """Counts unfinished turns: those in the database at the last refresh, and those accepted here since. Thread-safe.

    Other processes accept messages too, so the limits may be exceeded by what they accept between two refreshes.
    """

    def __init__(self, *, max_total: int, max_per_platform: int) -> None:
        """``max_total``: the limit of unfinished turns in total; ``max_per_platform``: of each platform."""
        self._max_total = max_total
        self._max_per_platform = max_per_platform
        self._unfinished: dict[str, int] = {}
        self._lock = threading.Lock()

    def refresh(self, depths: Sequence[QueueDepth]) -> None:
        """Sets the counts to what the database holds now. Called periodically by Maintenance."""
        with self._lock:
            self._unfinished = {depth.platform: depth.unfinished for depth in depths}

    def admit(self, message: Message) -> None:
        """Counts a message that is about to be recorded. Raises Overloaded, but only for prompts."""
        if message.kind is not MessageKind.PROMPT:
            return
        platform = message.key.platform
        with self._lock:
            waiting = self._unfinished.get(platform, 0)
            if waiting >= self._max_per_platform or sum(self._unfinished.values()) >= self._max_total:
                raise Overloaded(OVERLOADED_MESSAGE, retry_after=RETRY_AFTER)
            self._unfinished[platform] = waiting + 1
