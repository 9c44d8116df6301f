"""Remembers which runs this process works on, so that polling one of them reads the database only if it takes long."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from gateway.domain.models import ConversationKey, TurnId

MOST = 20_000
"""Turns that are remembered. Above it the oldest is forgotten, and read when somebody asks for it."""


class RunningTurns:
    """Whose turns run here. Thread-safe.

    A turn is added before it is recorded, so that its end cannot come first. It is forgotten when it has a result or
    waits for its caller, before those who wait for it are told; and when its metadata change, as the worker does not
    learn that.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[TurnId, ConversationKey] = OrderedDict()
        self._lock = Lock()

    def add(self, turn_id: TurnId, key: ConversationKey) -> None:
        with self._lock:
            self._keys[turn_id] = key
            if len(self._keys) > MOST:
                self._keys.popitem(last=False)

    def runs(self, turn_id: TurnId, key: ConversationKey) -> bool:
        """Returns whether this process works on a turn of this conversation."""
        with self._lock:
            return self._keys.get(turn_id) == key

    def forget(self, turn_id: TurnId) -> None:
        with self._lock:
            self._keys.pop(turn_id, None)
