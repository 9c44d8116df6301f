"""The interface to the database for what people think of replies, for operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.models import Turn


@dataclass(frozen=True, slots=True)
class FeedbackFilter:
    """Criteria for ratings. Empty fields match everything."""

    value: str = ""
    """As in ``Feedback.value``."""
    platform: str = ""
    """Of a bot, or of all bots of a platform."""
    assistant: str = ""
    since: float | None = None
    """Given at this time or later; seconds since the epoch."""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RatedTurn:
    """A rating, with the turn that it is for."""

    turn: Turn
    author: str
    """Who gave it, as the platform names them; empty if nobody knows."""
    value: str
    at: float


class FeedbackReport(Protocol):
    """The ratings. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def find(
        self, criteria: FeedbackFilter, *, limit: int, before: tuple[float, str, str] | None = None
    ) -> Sequence[RatedTurn]:
        """Returns the matching ratings that were given before one, newest first.

        ``before``: the time, the turn's id and the author of that one.
        """
        ...

    def counts(self, criteria: FeedbackFilter) -> Mapping[str, int]:
        """Returns how many ratings match, by their value."""
        ...
