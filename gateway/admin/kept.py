"""Answers that take a while to get, kept for a moment: however many operators look, each is asked for once."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Thread-safe. Whoever comes while something is being asked for waits for that answer."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, T]] = {}
        self._asking: dict[str, Lock] = {}

    def get(self, name: str, seconds: float, ask: Callable[[], T]) -> T:
        """What ``ask`` answered within the last ``seconds``. Raises what it raises, and keeps nothing then.

        Only for a few names: none is ever forgotten.
        """
        with self._asking.setdefault(name, Lock()):
            until, answer = self._answers.get(name, (0.0, None))
            if answer is not None and time.monotonic() < until:
                return answer
            answer = ask()
            self._answers[name] = (time.monotonic() + seconds, answer)
            return answer
