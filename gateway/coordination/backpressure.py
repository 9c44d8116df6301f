"""How much may wait in all and of one platform, before new messages are turned away."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from gateway.domain.errors import Overloaded
from gateway.domain.models import Kind, Message
from gateway.ports.store import Depth

RETRY_AFTER = 10.0
TURNED_AWAY = "Too many messages wait for an answer right now. Please send this one again in a minute."


class Pressure:
    """What the table held when it was looked at last, and what was taken in here since. Thread-safe.

    Other processes take in messages as well, so the bound is kept to within what they take in between two looks.
    """

    def __init__(self, *, most: int, most_of_one: int) -> None:
        """``most``: unfinished turns in all; ``most_of_one``: of one platform."""
        self._most = most
        self._most_of_one = most_of_one
        self._waiting: dict[str, int] = {}
        self._lock = threading.Lock()

    def look(self, depths: Sequence[Depth]) -> None:
        """What is in the table now."""
        with self._lock:
            self._waiting = {depth.platform: depth.turns for depth in depths}

    def admit(self, message: Message) -> None:
        """Count a message that is about to be recorded. Raises Overloaded; never for what makes the queue shorter."""
        if message.kind is not Kind.ASK:
            return
        platform = message.key.platform
        with self._lock:
            waiting = self._waiting.get(platform, 0)
            if waiting >= self._most_of_one or sum(self._waiting.values()) >= self._most:
                raise Overloaded(TURNED_AWAY, retry_after=RETRY_AFTER)
            self._waiting[platform] = waiting + 1
