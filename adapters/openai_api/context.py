"""What the handlers of all routes of OpenAI's API share."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.openai_api.callers import Callers
from adapters.openai_api.repetition import Attempts
from gateway.ports.api_objects import ApiObjects
from gateway.ports.inbox import AsyncInbox
from gateway.ports.store import KeyValueStore
from gateway.ports.uploads import Uploads
from gateway.web.api.waiting import WaiterRegistry


@dataclass(frozen=True, slots=True)
class KeptObjects:
    """What the database keeps beside the turns."""

    objects: ApiObjects
    uploads: Uploads
    memory: KeyValueStore


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What callers may send, and how long they may wait."""

    max_message_chars: int
    max_waiting: int
    """With ``caller_share``: see ``SharedPlaces``."""
    caller_share: float = 1.0
    wait_seconds: float = 600.0
    """How long a caller waits without hearing anything, see ``V1_WAIT_SECONDS``."""
    ping_seconds: float = 5.0
    """The longest time that a stream sends nothing."""
    come_back_seconds: float = 5.0
    """How long a turn goes on whose caller has left: an SDK that lost its connection asks again within seconds."""


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Used on the worker's loop."""

    callers: Callers
    waiters: WaiterRegistry
    inbox: AsyncInbox
    attempts: Attempts
    limits: ApiLimits
