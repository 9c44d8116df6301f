"""What a fake Discord knows: channels, messages, interactions, and the events of its gateway sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.change_signal import ChangeSignal
from tests.fakes.platform_faults import Json, PlatformFaults, RecordedCall

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.Gabcde.secret-of-a-bot-secret-of-a-bot-abc"
APPLICATION, BOT, GUILD, CHANNEL, DIRECT, USER = "9001", "9002", "1001", "2001", "2002", "3001"
EPOCH_MS = 1_420_070_400_000
GUILD_TEXT, DM, PUBLIC_THREAD = 0, 1, 11
MAX_CONTENT = 2000
USER_FIELDS: Json = {"discriminator": "0", "avatar": None}
"""Fields of every user and, below, of every message: docs.discord.com/developers/resources"""
MESSAGE_FIELDS: Json = {
    "timestamp": "2026-01-01T00:00:00+00:00",
    "tts": False,
    "pinned": False,
    "mention_everyone": False,
    "mention_roles": [],
    "embeds": [],
}


class DiscordError(Exception):
    """Discord refuses a call."""

    def __init__(self, status: int, code: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message or f"Error {code}"


@dataclass(frozen=True, slots=True)
class DiscordErrorFault:
    """Refuses with a code; the call is not performed."""

    status: int
    code: int
    times: int | None = 1
    skip: int = 0


@dataclass
class Interaction:
    """One press or command, as far as it was answered."""

    channel: str
    acknowledged: Json | None = None
    original: str = ""
    """The message that answers it."""


@dataclass(frozen=True, slots=True)
class BotAccount:
    """A bot, as its owner set it up."""

    token: str = TOKEN
    application: str = APPLICATION
    id: str = BOT


@dataclass
class Session:
    events: list[Json] = field(default_factory=list)
    committed: int = 0
    """The sequence that the gateway has named last, in a heartbeat or to resume."""


class DiscordState(ChangeSignal):
    """Change it under ``notify``."""

    def __init__(self, bot: BotAccount) -> None:
        super().__init__()
        self.faults = PlatformFaults()
        self.calls: list[RecordedCall] = []
        self.bot = bot
        self.bot_user: Json = {"id": bot.id, "username": "gateway", "bot": True, **USER_FIELDS}
        self.channels: dict[str, Json] = {
            CHANNEL: {"id": CHANNEL, "type": GUILD_TEXT, "guild_id": GUILD, "name": "general", "position": 0},
            DIRECT: {"id": DIRECT, "type": DM},
        }
        self.roles: list[Json] = []
        self.messages: dict[str, dict[str, Json]] = {CHANNEL: {}, DIRECT: {}}
        self.nonces: dict[str, Json] = {}
        self.files: dict[str, bytes] = {}
        self.typing: list[str] = []
        self.commands: list[Json] = []
        self.interactions: dict[str, Interaction] = {}
        self.whispers: list[Json] = []
        """What only whoever pressed a button sees."""
        self.sessions: dict[str, Session] = {}
        self.interactions_url = ""
        self.gateway_url = ""
        self.resume_url = ""
        """Where sessions are resumed; empty: at ``gateway_url``."""
        self.application_flags = 1 << 19
        self.permissions = (1 << 45) - 1 & ~(1 << 3)
        """Those of the bot in the server; it is no administrator."""
        self.keeps_nonces = True
        """Whether messages that are read have their nonce."""
        self._last = 0

    def snowflake(self) -> str:
        self._last = max(self._last + 1, (int(time.time() * 1000) - EPOCH_MS) << 22)
        return str(self._last)

    def channel(self, channel_id: str) -> Json:
        if channel_id not in self.channels:
            raise DiscordError(404, 10003, "Unknown Channel")
        return self.channels[channel_id]

    def message(self, channel_id: str, message_id: str) -> Json:
        self.channel(channel_id)
        if message_id not in self.messages[channel_id]:
            raise DiscordError(404, 10008, "Unknown Message")
        return self.messages[channel_id][message_id]

    def add_message(self, channel_id: str, author: Json, content: str, **more: Any) -> Json:
        channel = self.channel(channel_id)
        message = {
            "id": self.snowflake(),
            "channel_id": channel_id,
            "type": 0,
            "author": author,
            "content": content,
            "mentions": [],
            "attachments": [],
            "edited_timestamp": None,
            **MESSAGE_FIELDS,
            **more,
        }
        self.messages[channel_id][message["id"]] = message
        if "guild_id" in channel:
            message = {**message, "guild_id": channel["guild_id"]}
        self.dispatch("MESSAGE_CREATE", message)
        return message

    def dispatch(self, kind: str, event: Json) -> None:
        for session in self.sessions.values():
            session.events.append({"op": 0, "t": kind, "s": len(session.events) + 1, "d": event})
