"""Settings of the Telegram adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt, SecretStr, field_validator

from gateway.domain.errors import SettingsError
from gateway.settings import SetupGuide, TokenPattern
from gateway.settings.platforms import PlatformSettings
from gateway.settings.values import JoinSeconds, Key, ServerUrl, check_ids, split_list

TELEGRAM = "https://api.telegram.org"
TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{3,100}")
ID = re.compile(r"-?[0-9]{1,20}")
WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""core.telegram.org/bots/api#setwebhook"""


class TelegramSettings(PlatformSettings):
    """Settings of Telegram."""

    platform = "telegram"
    prefixes = ("TELEGRAM_",)
    lists: ClassVar[Mapping[str, str]] = {"telegram_allowed_chats": ","}
    bot_settings = frozenset({"telegram_bot_token", "telegram_webhook_secret"})
    token_patterns: ClassVar[tuple[TokenPattern, ...]] = (
        TokenPattern(":", re.compile(r":(?<=[0-9]{5}:)[A-Za-z0-9_-]{30,}"), ":***"),
    )

    setup_guide = SetupGuide("telegram", "Telegram", "Write /newbot to @BotFather.", ("telegram_bot_token",))

    telegram_bot_token: Key | None = None
    """The bot's token, from @BotFather. It switches Telegram on."""
    telegram_webhook_secret: SecretStr | None = None
    """Any secret of letters, digits, ``_`` and ``-``. Set: updates are received at ``/telegram/webhook``; else they are
    fetched by long polling."""
    telegram_api_url: ServerUrl = TELEGRAM
    """The Bot API; change it for a server of your own."""
    public_url: str | None = None
    """The address of the gateway on the internet. With a webhook secret, the webhook is registered there."""
    telegram_scope: Literal["topic", "chat", "user"] = "topic"
    """What a conversation is: a topic of a chat, a whole chat, or one person in a chat."""
    telegram_groups: Literal["mention", "always", "never"] = "mention"
    """What is answered in groups: what mentions or replies to the bot, everything, or nothing."""
    telegram_allowed_chats: str = ""
    """Comma-separated ids of chats and users that are answered; empty: all."""
    telegram_names: bool = True
    """Tell the assistant who writes in groups."""
    telegram_join_seconds: JoinSeconds = 0.07
    """Seconds that a message waits for the forward that it may be a comment on. Also joined are the pieces of a split
    text and forwards that come together. 0: each message is a turn."""
    telegram_streaming: bool = True
    """Show a reply while it is written."""
    telegram_draft_seconds: PositiveFloat = 0.5
    """Seconds between two updates of a draft, in private chats."""
    telegram_max_file_bytes: PositiveInt = 20_000_000
    """The largest attached file that is read, in bytes; Telegram's own servers serve no more than 20 MB."""

    telegram_local_files: str | None = None
    """The folder of a Bot API server in local mode, which names files by their path on this machine. Unset: no file is
    read from there."""

    @field_validator("telegram_bot_token")
    @classmethod
    def _is_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is not a bot token; BotFather issues them in the form 123456:ABC-DEF")
        return token

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _is_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not WEBHOOK_SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("has 1 to 256 characters of A-Z, a-z, 0-9, _ and -")
        return secret

    @field_validator("telegram_allowed_chats")
    @classmethod
    def _are_ids(cls, listed: str) -> str:
        return check_ids(listed, ID, "123456789 of a user or -1001234567890 of a group")

    @field_validator("telegram_api_url", "public_url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        return url.rstrip("/") if url else url

    @property
    def on(self) -> bool:
        """Whether Telegram is set up. Raises SettingsError if only part of what it needs is set."""
        if self.telegram_bot_token is None and self.telegram_webhook_secret is not None:
            raise SettingsError("Telegram is half set up. Missing: TELEGRAM_BOT_TOKEN.")
        return self.telegram_bot_token is not None

    @property
    def allowed_chats(self) -> frozenset[str]:
        return frozenset(split_list(self.telegram_allowed_chats))
