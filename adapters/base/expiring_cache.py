"""A bounded cache whose entries expire."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ExpiringCache(Generic[Value]):
    """Keeps values for a time of their own. At most so many: the one that was set first makes room."""

    def __init__(self, max_entries: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: returns seconds."""
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[Hashable, tuple[Value, float]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Returns the value of a key; None if there is none, or it has expired."""
        value, until = self._entries.get(key, (None, 0.0))
        return value if self._clock() < until else None

    def set(self, key: Hashable, value: Value, seconds: float) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= self._max_entries:
            self._entries.popitem(last=False)
        self._entries[key] = value, self._clock() + seconds
