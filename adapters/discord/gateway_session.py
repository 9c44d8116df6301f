"""What is stored of the gateway connection, so that the next process goes on where this one ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.base.json_fields import Fields, object_or_empty, size_in, text_in
from gateway.ports.store import KeyValueStore

MAX_CHANNELS = 500


@dataclass(slots=True)
class GatewaySession:
    """Empty until Discord has opened one."""

    id: str = ""
    url: str = ""
    """Where it is resumed."""
    sequence: int = 0
    """Of the last event that is committed."""
    last_message: str = ""
    """The newest message that was received: after it, messages are read when a session cannot be resumed."""
    channels: list[str] = field(default_factory=list)
    """Where somebody talked to the bot, the newest last."""

    def opened(self, ready: Fields) -> None:
        """Notes what a new session is called: docs.discord.com/developers/events/gateway-events#ready"""
        self.id, self.url = text_in(ready, "session_id"), text_in(ready, "resume_gateway_url")

    def ended(self) -> None:
        """Forgets what Discord does not resume."""
        self.id, self.url, self.sequence = "", "", 0

    def received(self, message: str, channel: str, *, addressed: bool) -> None:
        self.last_message = max(self.last_message, message, key=lambda number: int(number or "0"))
        if addressed:
            self.channels = [*(each for each in self.channels if each != channel), channel][-MAX_CHANNELS:]


def load(memory: KeyValueStore, name: str) -> GatewaySession:
    """Raises StoreUnavailable."""
    stored: dict[str, Any] = object_or_empty((memory.get_value(name) or "").encode())
    channels = stored.get("channels")
    return GatewaySession(
        text_in(stored, "id"),
        text_in(stored, "url"),
        size_in(stored, "sequence"),
        text_in(stored, "last_message"),
        [each for each in channels if isinstance(each, str)] if isinstance(channels, list) else [],
    )


def save(memory: KeyValueStore, name: str, session: GatewaySession) -> None:
    """Raises StoreUnavailable."""
    memory.set_value(name, json.dumps(asdict(session)))
