"""Events that processes send each other through the database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.models import TurnId


class EventKind(StrEnum):
    DUE = "due"
    """A conversation is ready to be claimed."""
    RESOLVED = "decided"
    """A turn that a caller awaits in one process was resolved by another process."""
    CANCELLED = "cancelled"
    """A running turn was cancelled."""
    LOAD = "load"
    """How busy a worker is."""


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """How busy a worker is."""

    owner: str
    in_progress: int
    """On how many conversations it works."""
    has_capacity: bool
    """Whether it claims more and starts it at once."""


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    kind: EventKind
    turn_id: TurnId | None = None
    """Of RESOLVED and CANCELLED."""
    load: WorkerLoad | None = None
    """Of LOAD."""
