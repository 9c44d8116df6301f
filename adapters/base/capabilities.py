"""What a platform turned out not to support, so that it is not asked for with every turn."""

from __future__ import annotations

import time
from collections.abc import Callable

RETRY_SECONDS = 3600.0
"""After which a missing capability is tried again: plans, settings and servers change."""


class Capabilities:
    """One per adapter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missing: dict[tuple[str, str], float] = {}

    def has(self, scope: str, capability: str) -> bool:
        """Returns whether it is worth trying. ``scope``: the workspace or bot for which it counts."""
        until = self._missing.get((scope, capability))
        if until is not None and until <= self._clock():
            del self._missing[scope, capability]
            return True
        return until is None

    def mark_missing(self, scope: str, capability: str) -> None:
        self._missing[scope, capability] = self._clock() + RETRY_SECONDS
