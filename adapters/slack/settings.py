"""Settings of the Slack adapter."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator

from adapters.base.public_url import public_url
from gateway.domain.errors import SettingsError
from gateway.settings import EnvironmentSettings, TokenPattern

SLACK = "https://slack.com"
PROMPTS = 4
"""The most that Slack shows (docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts)."""


class SlackSettings(EnvironmentSettings):
    """Settings of Slack."""

    token_patterns: ClassVar[tuple[TokenPattern, ...]] = (
        TokenPattern("xox", re.compile(r"(?<![A-Za-z0-9])xox[a-z]-[A-Za-z0-9-]{8,}")),
        TokenPattern("xapp-", re.compile(r"(?<![A-Za-z0-9])xapp-[A-Za-z0-9-]{8,}")),
    )

    slack_bot_token: SecretStr | None = None
    """The ``xoxb-…`` token of one workspace (*Install App*). Leave it unset to serve many workspaces."""
    slack_signing_secret: SecretStr | None = None
    """Verifies Slack's HTTP requests (*Basic Information*). Not needed with Socket Mode."""
    slack_app_token: SecretStr | None = None
    """The ``xapp-…`` token. Set: events are received by Socket Mode, and no public address is needed."""
    slack_client_id: str | None = None
    """For many workspaces, in place of a bot token; needs ``SLACK_CLIENT_SECRET``."""
    slack_client_secret: SecretStr | None = None
    """With ``SLACK_CLIENT_ID``: any number of workspaces can install the app, at ``/slack/install``."""
    public_url: str | None = None
    """The address of the gateway on the internet. Slack sends people back there who install the app; with a webhook
    secret, Telegram's webhook is registered there."""
    slack_api_url: str = f"{SLACK}/api/"
    """The Web API; change it for a server of your own."""
    slack_scope: Literal["topic", "channel", "user"] = "topic"
    """What a conversation is: a thread in Slack, a whole channel, or one person in a channel."""
    slack_replies: Literal["thread", "mention"] = "thread"
    """What is answered in channels: also every message in a thread where the bot was mentioned, or mentions only."""
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

    @field_validator("slack_api_url")
    @classmethod
    def _with_slash(cls, url: str) -> str:
        return url.rstrip("/") + "/"

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
