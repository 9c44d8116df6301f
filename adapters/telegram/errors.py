"""Why Telegram refuses."""

from __future__ import annotations

from enum import StrEnum

from adapters.base.errors import Rejected


class Reason(StrEnum):
    """The ``reason`` of a Rejected, as far as it makes a difference to us."""

    BLOCKED = "blocked"
    """The person blocked the bot or is gone, or the bot was removed from the chat."""
    CHAT_GONE = "chat_gone"
    """There is no such chat for the bot."""
    MIGRATED = "migrated"
    """The group became a supergroup; see ``Migrated``."""
    RIGHTS = "rights"
    """The bot may not do that in this chat."""
    MESSAGE_GONE = "message_gone"
    """The message to be changed or deleted does not exist, or is none that the bot may change."""
    REPLY_GONE = "reply_gone"
    """The message to be replied to does not exist."""
    TOPIC_GONE = "topic_gone"
    """The topic does not exist, or is closed."""
    MARKUP = "markup"
    """The text has entities, or markup, that Telegram does not accept."""
    TOO_LONG = "too_long"
    """The text."""
    EMPTY = "empty"
    """There is no text, or nothing visible in it."""
    FILE = "file"
    """The file is too big, cannot be read, or is gone."""
    TOKEN = "token"  # noqa: S105  # a reason, no token
    """The token is not valid, or not any more."""
    NO_METHOD = "no_method"
    """The server does not know the method: it is older than the method, or the token is malformed."""
    CONFLICT = "conflict"
    """Another program fetches the updates, or a webhook is set."""
    OTHER = "other"
    """See the text."""


class Migrated(Rejected):
    """The group became a supergroup, which has another id."""

    def __init__(self, message: str, *, to: str) -> None:
        super().__init__(message, reason=Reason.MIGRATED)
        self.to = to
        """The id that the chat has now; empty if Telegram did not say."""
