"""What is stored of the gateway connection, so that the next process goes on where this one ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.base.errors import PlatformRateLimited
from adapters.base.json_fields import Fields, object_in, object_or_empty, size_in, text_in
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
    """Where somebody talked to the bot, and the threads that replies opened there, the newest last."""
    missed_after: str = ""
    """The message after which the channels are still to be read, as a session was lost; empty: nothing is missed."""

    def opened(self, ready: Fields) -> None:
        """Notes what a new session is called: docs.discord.com/developers/events/gateway-events#ready"""
        self.id, self.url = text_in(ready, "session_id"), text_in(ready, "resume_gateway_url")

    def ended(self) -> None:
        """Forgets what Discord does not resume."""
        self.id, self.url, self.sequence = "", "", 0

    def received(self, message: str, places: Sequence[str]) -> None:
        """Notes a message that is committed. ``places``: where it may be answered, if it is said to the bot."""
        self.last_message = max(self.last_message, message, key=lambda number: int(number or "0"))
        named = dict.fromkeys(filter(None, places))
        self.channels = [*(each for each in self.channels if each not in named), *named][-MAX_CHANNELS:]


def check_starts(told: Fields) -> None:
    """Raises PlatformRateLimited if Discord would start no session: it resets the token of a bot that goes on trying.

    ``told``: docs.discord.com/developers/events/gateway#get-gateway-bot
    """
    limit = object_in(told, "session_start_limit")
    if limit.get("remaining") == 0:
        message = "Discord starts no more sessions of this bot for a while, after too many"
        raise PlatformRateLimited(message, retry_after=size_in(limit, "reset_after") / 1000)


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
        text_in(stored, "missed_after"),
    )


def save(memory: KeyValueStore, name: str, session: GatewaySession) -> None:
    """Raises StoreUnavailable."""
    memory.set_value(name, json.dumps(asdict(session)))
