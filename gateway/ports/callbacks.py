"""The interface to the database for what is posted to addresses of programs: answers and events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.domain.models import Turn, TurnId

FEEDBACK = "feedback.given"
"""``Callback.event`` of a person's rating; its body says in ``data.rating.by`` whose it is."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One body to post to one address. Times are seconds since the epoch by the database's clock."""

    id: str
    """Sent as ``webhook-id``, the same with every attempt."""
    lane: str
    """Those of one lane are delivered one after the other."""
    url: str
    event: str
    """Its type, such as ``turn.answered``."""
    turn_id: TurnId
    body: str
    """JSON; empty once it is delivered."""
    attempts: int = 0
    error: str = ""
    """Why the newest attempt failed, for the operator."""
    created_at: float = 0.0
    retried_since: float = 0.0
    """Since when it is tried: an operator can begin anew."""
    next_at: float | None = None
    """When it is tried next, if it is not behind another one; None: it is over."""
    delivered_at: float | None = None
    dead_at: float | None = None
    """When it was given up."""


class Callbacks(Protocol):
    """The stored callbacks. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def add(self, callback: Callback, max_waiting: int) -> None:
        """Stores a callback behind the others of its lane, unless its id is stored or its turn does not exist.

        If ``max_waiting`` wait there already, it is given up at once.
        """
        ...

    def claim(self, limit: int, seconds: float, spared: Collection[str] = ()) -> tuple[float, Sequence[Callback]]:
        """Returns the time, and callbacks to try now: the first of each lane, if it is due.

        Each counts as one attempt, and is not claimed again within so many seconds. ``spared``: none whose address
        begins with one of these.
        """
        ...

    def mark_delivered(self, claimed: Callback) -> bool:
        """Ends a callback. Returns False and changes nothing if it was claimed again since."""
        ...

    def mark_failed(self, claimed: Callback, error: str, wait_seconds: float | None) -> bool:
        """Puts a callback off; None: gives it up. Returns False and changes nothing if it was claimed again since."""
        ...

    def listed(self, limit: int, *, dead: bool | None = None) -> Sequence[Callback]:
        """Returns those that wait or were given up, the newest first. ``dead``: only the latter, or only the former."""
        ...

    def resend(self, callback_id: str) -> bool:
        """Tries again what was given up; returns whether it was."""
        ...


class AnswerOutbox(Protocol):
    """Where an adapter leaves what is to be posted to a program. On the worker's loop."""

    def check_url(self, url: str) -> None:
        """Raises MalformedRequest for an address to which nothing is posted. No I/O: names are looked up later."""
        ...

    async def add_answer(self, turn: Turn, url: str, data: Mapping[str, Any]) -> None:
        """Stores the outcome of a turn, as its caller may see it. Called again, it changes nothing.

        Waits while the database is unavailable.
        """
        ...
