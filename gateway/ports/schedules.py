"""The interface to the database for messages that are pushed in at a time, or again and again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.models import ConversationKey, TurnId


@dataclass(frozen=True, slots=True)
class Push:
    """What a program brings to a channel: a text, or what the assistant is to be asked."""

    place: ConversationKey
    """Workspace, channel and topic as their platform names them."""
    text: str = ""
    prompt: str = ""
    """Empty if there is a ``text``."""
    assistant: str = ""
    """Which assistant is asked; empty: the one of the conversation."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is pushed. Times are seconds since the epoch by the database's clock."""

    id: str
    owner: str
    """As ``Message.caller`` of its turns."""
    push: Push
    every: str = ""
    """In cron's syntax, five fields; empty: once."""
    time_zone: str = "UTC"
    """Of ``every``."""
    next_at: float | None = None
    """When it is due; None: never again."""
    created_at: float = 0.0
    last_turn: TurnId | None = None
    """The turn of its newest tick."""
    problem: str = ""
    """Why its newest tick became no turn, for the operator; empty if it became one."""


class Schedules(Protocol):
    """The stored schedules. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def add(self, schedule: Schedule) -> Schedule:
        """Stores a schedule; returns it, or the one that is stored under its id already."""
        ...

    def get(self, schedule_id: str) -> Schedule | None: ...

    def listed(self, limit: int, owner: str = "") -> Sequence[Schedule]:
        """Returns the schedules of an owner ("": of all), the newest first. At most ``limit``."""
        ...

    def count_active(self, owner: str) -> int:
        """Returns how many schedules of an owner will be due again."""
        ...

    def due(self, platforms: Collection[str], limit: int) -> tuple[float, Sequence[Schedule]]:
        """Returns the time, and the schedules of these platforms that are due by then, the one that waits longest
        first.
        """
        ...

    def recurring(self, limit: int, after: str = "") -> Sequence[Schedule]:
        """Returns schedules that will be due again and again, in the order of their ids, after one of these."""
        ...

    def advance(self, tick: Schedule, next_at: float | None, turn: TurnId | None, problem: str = "") -> bool:
        """Records what became of a tick, and when the next one is; ``tick``: the schedule as ``due`` returned it.

        Returns False and changes nothing if another process was first, or it was cancelled.
        """
        ...

    def cancel(self, schedule_id: str) -> bool:
        """Makes a schedule never due again; returns whether it would have been."""
        ...
