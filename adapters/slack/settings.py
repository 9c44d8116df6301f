"""Settings of the Slack adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator

from adapters.base.public_url import public_url
from gateway.domain.errors import SettingsError
from gateway.settings import SetupGuide, TokenPattern
from gateway.settings.platforms import PlatformSettings
from gateway.settings.values import JoinSeconds, Key, ServerUrl, check_ids, reject_prefixes, split_list

SLACK = "https://slack.com"
Scope = Literal["topic", "channel", "user"]
MIN_KEY_CHARS = 32
BOT_ID = re.compile(r"[A-Z0-9]{2,30}|\*")
PROMPTS = 4
"""The most that Slack shows (docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts)."""

NO_BOT_TOKENS = {
    "xapp-": "this is the app-level token, which belongs into SLACK_APP_TOKEN",
    "xoxe-": "this is a refresh token; the bot's begins with xoxb-",
}
NO_APP_TOKENS = {
    "xoxb-": "this is the bot's token, which belongs into SLACK_BOT_TOKEN; the app-level one begins with xapp-",
    "xox": "this is no app-level token, which begins with xapp-",
}
"""How tokens of other kinds begin: docs.slack.dev/authentication/tokens"""


class SlackSettings(PlatformSettings):
    """Settings of Slack."""

    platform = "slack"
    prefixes = ("SLACK_",)
    foreign_variables = frozenset(
        {
            *("SLACK_API_TOKEN", "SLACK_INSTALL_PATH", "SLACK_REDIRECT_URI", "SLACK_REDIRECT_URI_PATH"),
            *("SLACK_SCOPES", "SLACK_USER_SCOPES", "SLACK_VERIFICATION_TOKEN"),
        }
    )

    lists: ClassVar[Mapping[str, str]] = {"slack_encryption_keys": ",", "slack_allowed_bots": ",", "slack_prompts": "|"}
    bot_settings = frozenset(
        {
            *("slack_bot_token", "slack_signing_secret", "slack_app_token"),
            *("slack_client_id", "slack_client_secret"),
        }
    )
    token_patterns: ClassVar[tuple[TokenPattern, ...]] = (
        TokenPattern("xox", re.compile(r"(?<![A-Za-z0-9])xox[a-z]-[A-Za-z0-9-]{8,}")),
        TokenPattern("xapp-", re.compile(r"(?<![A-Za-z0-9])xapp-[A-Za-z0-9-]{8,}")),
    )

    setup_guide = SetupGuide(
        "slack",
        "Slack",
        "At https://api.slack.com/apps create an app from the manifest that `slack manifest --socket` prints, and "
        "install it. The bot's token is at OAuth & Permissions; for the app-level one, with the scope "
        "connections:write, see Basic Information.",
        ("slack_bot_token", "slack_app_token"),
    )

    slack_bot_token: Key | None = None
    """The ``xoxb-…`` token of one workspace (*Install App*). Leave it unset to serve many workspaces."""
    slack_signing_secret: Key | None = None
    """Verifies Slack's HTTP requests (*Basic Information*). Not needed with Socket Mode."""
    slack_app_token: Key | None = None
    """The ``xapp-…`` token. Set: events are received by Socket Mode, and no public address is needed."""
    slack_client_id: str | None = None
    """For many workspaces, in place of a bot token; needs ``SLACK_CLIENT_SECRET``."""
    slack_client_secret: Key | None = None
    """With ``SLACK_CLIENT_ID``: any number of workspaces can install the app, at ``/slack/install``."""
    slack_encryption_keys: SecretStr | None = None
    """Encrypts the tokens of installed workspaces in the database: comma-separated random texts of at least 32
    characters, such as ``openssl rand -hex 32`` prints. The first encrypts, all decrypt: put a new one in front."""
    public_url: str | None = None
    """The address of the gateway on the internet. Slack sends people back there who install the app; with a webhook
    secret, Telegram's webhook is registered there."""
    trusted_proxies: NonNegativeInt = 0
    """How many of your own proxies add to ``X-Forwarded-For``; 0: clients connect directly."""
    slack_api_url: ServerUrl = f"{SLACK}/api/"
    """The Web API; change it for a server of your own."""
    slack_scope: Scope = "topic"
    """What a conversation is: a thread in Slack, a whole channel, or one person in a channel."""
    slack_replies: Literal["thread", "mention"] = "thread"
    """What is answered in channels: also every message in a thread where the bot was mentioned, or mentions only."""
    slack_join_seconds: JoinSeconds = 0.0
    """Seconds that a message waits for the next one of its author in the same conversation, to be answered with it; 0:
    each message is a turn."""
    slack_allowed_bots: str = ""
    """Comma-separated user or bot ids of other bots that are answered; ``*`` for all."""
    slack_context_chars: NonNegativeInt = 8_000
    """How many characters of a thread are quoted to the assistant when a mention in it is answered; 0: none."""
    slack_names: bool = True
    """Tell the assistant the names of the people who write, and of those they mention."""
    slack_preview: Literal["stream", "update", "off"] = "stream"
    """How a reply is shown while it is written: by Slack's streaming, by editing a message, or not at all."""
    slack_stream_seconds: PositiveFloat = 1.0
    """Seconds between two pieces of a streamed reply."""
    slack_feedback: bool = True
    """Put feedback buttons under replies."""
    slack_prompts: str = ""
    """Up to four suggested prompts, as ``title: message``, separated by ``|``."""
    slack_max_file_bytes: PositiveInt = Field(20 * 1024 * 1024)
    """The largest attached file that is read, in bytes."""

    @field_validator("slack_bot_token")
    @classmethod
    def _is_bot_token(cls, token: SecretStr | None) -> SecretStr | None:
        return reject_prefixes(token, NO_BOT_TOKENS)

    @field_validator("slack_app_token")
    @classmethod
    def _is_app_token(cls, token: SecretStr | None) -> SecretStr | None:
        return reject_prefixes(token, NO_APP_TOKENS)

    @field_validator("slack_api_url")
    @classmethod
    def _with_slash(cls, url: str) -> str:
        return url.rstrip("/") + "/"

    @field_validator("slack_encryption_keys")
    @classmethod
    def _are_long(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None and any(len(key) < MIN_KEY_CHARS for key in split_list(keys.get_secret_value())):
            raise ValueError(f"has a key of fewer than {MIN_KEY_CHARS} characters; openssl rand -hex 32 prints one")
        return keys

    @field_validator("slack_allowed_bots")
    @classmethod
    def _are_ids(cls, listed: str) -> str:
        return check_ids(listed, BOT_ID, "B0123ABC or U0123ABC")

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        return public_url(url, "").geturl() if url else url

    @field_validator("slack_prompts")
    @classmethod
    def _readable_prompts(cls, prompts: str) -> str:
        if len(_prompts(prompts)) > PROMPTS:
            raise ValueError(f"holds more than {PROMPTS} prompts")
        return prompts

    @property
    def on(self) -> bool:
        """Whether Slack is set up. Raises SettingsError if only part of what it needs is set."""
        given = (self.slack_bot_token, self.slack_app_token, self.slack_signing_secret, self.slack_client_id)
        if not any((*given, self.slack_client_secret)):
            return False
        missing = self.missing()
        if missing:
            raise SettingsError(f"Slack is half set up. Missing: {', '.join(missing)}.")
        return True

    @property
    def installable(self) -> bool:
        """Whether workspaces install the app themselves; else there is one, whose token is set."""
        return self.slack_client_id is not None and self.slack_bot_token is None

    @property
    def encryption_keys(self) -> tuple[str, ...]:
        """The keys for tokens in the database, the newest first."""
        return split_list(self.slack_encryption_keys.get_secret_value()) if self.slack_encryption_keys else ()

    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets(), *self.encryption_keys)

    @property
    def prompts(self) -> tuple[tuple[str, str], ...]:
        """The title and message of each suggested prompt."""
        return _prompts(self.slack_prompts)

    def missing(self) -> tuple[str, ...]:
        """Returns the variables that are missing for what is set."""
        oauth = self.slack_client_id is not None or self.slack_client_secret is not None
        needed: dict[str, object] = {}
        if oauth and self.slack_bot_token is None:
            needed |= {"SLACK_CLIENT_ID": self.slack_client_id, "SLACK_CLIENT_SECRET": self.slack_client_secret}
        else:
            needed["SLACK_BOT_TOKEN"] = self.slack_bot_token
        if self.slack_app_token is None:
            needed["SLACK_SIGNING_SECRET (or SLACK_APP_TOKEN)"] = self.slack_signing_secret
        return tuple(name for name, value in needed.items() if not value)


def _prompts(text: str) -> tuple[tuple[str, str], ...]:
    entries = (entry.partition(":") for entry in text.split("|") if entry.strip())
    return tuple((title.strip(), (message or title).strip()) for title, _, message in entries)
