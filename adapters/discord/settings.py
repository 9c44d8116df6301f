"""Settings of the Discord adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt, SecretStr, field_validator

from gateway.domain.errors import SettingsError
from gateway.settings import SetupGuide, TokenPattern
from gateway.settings.platforms import PlatformSettings
from gateway.settings.values import Key, ServerUrl, check_ids, split_list

DISCORD = "https://discord.com/api/v10"
TOKEN = re.compile(r"[A-Za-z0-9_-]{18,40}\.[A-Za-z0-9_-]{4,10}\.[A-Za-z0-9_-]{20,80}")
PUBLIC_KEY = re.compile(r"[0-9a-fA-F]{64}")
ID = re.compile(r"[0-9]{1,20}|\*")


class DiscordSettings(PlatformSettings):
    """Settings of Discord."""

    platform = "discord"
    prefixes = ("DISCORD_",)
    lists: ClassVar[Mapping[str, str]] = {
        "discord_allowed_guilds": ",",
        "discord_allowed_channels": ",",
        "discord_allowed_bots": ",",
    }
    bot_settings = frozenset({"discord_bot_token", "discord_public_key"})
    token_patterns: ClassVar[tuple[TokenPattern, ...]] = (
        TokenPattern(".", re.compile(rf"(?<![A-Za-z0-9_.-]){TOKEN.pattern}(?![A-Za-z0-9_.-])")),
    )

    setup_guide = SetupGuide(
        "discord",
        "Discord",
        "At https://discord.com/developers/applications create an application; at Bot switch on Message Content Intent "
        "and press Reset Token.",
        ("discord_bot_token",),
    )

    discord_bot_token: Key | None = None
    """The bot's token (*Bot* in the developer portal). It switches Discord on."""
    discord_public_key: str | None = None
    """The application's public key (*General Information*). Set: slash commands and buttons may also be received at
    ``/discord/interactions``, once that is the *Interactions Endpoint URL*."""
    discord_api_url: ServerUrl = DISCORD
    """The API; change it for a server of your own."""
    discord_scope: Literal["topic", "channel", "user"] = "topic"
    """What a conversation is: a thread, a whole channel, or one person in a channel."""
    discord_replies: Literal["thread", "channel"] = "thread"
    """Where a mention in a channel is answered: in a thread that is opened for it, or in the channel."""
    discord_allowed_guilds: str = ""
    """Comma-separated ids of servers that are answered; empty: all. Direct messages are answered in any case."""
    discord_allowed_channels: str = ""
    """Comma-separated ids of channels that are answered, with their threads; empty: all."""
    discord_allowed_bots: str = ""
    """Comma-separated ids of other bots and webhooks that are answered when they mention the bot; ``*`` for all."""
    discord_context_chars: NonNegativeInt = 8_000
    """How many characters of a thread are quoted to the assistant when the bot is called there; 0: none."""
    discord_names: bool = True
    """Tell the assistant the names of people in servers: who speaks, and whom a message mentions."""
    discord_streaming: bool = True
    """Show a reply while it is written."""
    discord_feedback: bool = True
    """Put feedback buttons under replies."""
    discord_max_file_bytes: PositiveInt = 20_000_000
    """The largest attached file that is read, in bytes."""

    @field_validator("discord_bot_token")
    @classmethod
    def _is_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is not a bot token, which has three parts with a point between; see Bot, Reset Token")
        return token

    @field_validator("discord_public_key")
    @classmethod
    def _is_key(cls, key: str | None) -> str | None:
        if key is not None and not PUBLIC_KEY.fullmatch(key):
            raise ValueError("is not a public key, which has 64 hexadecimal digits; see General Information")
        return key

    @field_validator("discord_allowed_guilds", "discord_allowed_channels", "discord_allowed_bots")
    @classmethod
    def _are_ids(cls, listed: str) -> str:
        return check_ids(listed, ID, "1234567890123456789 (Developer Mode, Copy ID)")

    @field_validator("discord_api_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @property
    def on(self) -> bool:
        """Whether Discord is set up. Raises SettingsError if only part of what it needs is set."""
        if self.discord_bot_token is None and self.discord_public_key is not None:
            raise SettingsError("Discord is half set up. Missing: DISCORD_BOT_TOKEN.")
        return self.discord_bot_token is not None

    def allows(self, guild: str, channels: tuple[str, ...]) -> bool:
        """Returns whether a place is answered. ``channels``: a channel and, of a thread, the channel it is in."""
        guilds, allowed = split_list(self.discord_allowed_guilds), split_list(self.discord_allowed_channels)
        if not guild:
            return True
        return (not guilds or guild in guilds) and (not allowed or any(channel in allowed for channel in channels))

    def allows_bot(self, bot: str) -> bool:
        listed = split_list(self.discord_allowed_bots)
        return "*" in listed or bot in listed
