"""Waits for what another thread or process brings about and tells nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

PAUSE_SECONDS = 0.002


def until(look: Callable[[], Value | None], seconds: float = 20.0) -> Value:
    """Looks again and again until there is something, and returns it. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(PAUSE_SECONDS)
    return found
