"""What the handlers of all routes share."""

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
class ApiContext:
    """What the handlers of all routes share. They run on the worker's loop."""

    callers: Callers
    waiters: WaiterRegistry
    inbox: AsyncInbox
    attempts: Attempts
    max_message_chars: int
    wait_seconds: float
    """How long a caller waits for a reply that is not streamed, see ``CHAT_WAIT_SECONDS``."""
    ping_seconds: float
