"""Places that callers share: whoever takes many leaves the last ones to others."""

from __future__ import annotations

import math
from collections.abc import Mapping


class SharedPlaces:
    """So many places, and who holds them. Not thread-safe.

    One may hold ``fraction`` of those places that the others leave, at least one. So one alone leaves some free, and
    two who take all they can leave some to a third. With a fraction of 1 nobody is limited.
    """

    def __init__(self, capacity: int, fraction: float, held: Mapping[str, int] | None = None) -> None:
        self.capacity = capacity
        self.fraction = fraction
        self._held = dict(held or {})
        self._total = sum(self._held.values())
        self.has_refused = False
        """Whether ``try_take`` refused one since this was made."""

    @property
    def total(self) -> int:
        """How many places are held."""
        return self._total

    def limit_of(self, name: str) -> int:
        """Returns how many places one may hold as long as the others hold what they hold now."""
        left = self.capacity - (self._total - self._held.get(name, 0))
        return max(1, math.floor(self.fraction * max(left, 0) + 1e-9))

    def try_take(self, name: str) -> bool:
        """Takes a place, and returns whether there was one for this name."""
        if self._total >= self.capacity or self._held.get(name, 0) >= self.limit_of(name):
            self.has_refused = True
            return False
        self.take(name)
        return True

    def take(self, name: str) -> None:
        """Takes a place, whether there is one or not."""
        self._held[name] = self._held.get(name, 0) + 1
        self._total += 1

    def release(self, name: str) -> None:
        self._total -= 1
        if self._held[name] == 1:
            del self._held[name]
        else:
            self._held[name] -= 1

    def holds_too_many(self, name: str) -> bool:
        """Returns whether one holds more than it may, since others came."""
        return self._held.get(name, 0) > self.limit_of(name)

    def full_names(self) -> list[str]:
        """Returns who may take no more."""
        full = self._total >= self.capacity
        return [name for name, held in self._held.items() if full or held >= self.limit_of(name)]

    def copy(self) -> SharedPlaces:
        return SharedPlaces(self.capacity, self.fraction, self._held)
