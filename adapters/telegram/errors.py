"""What can come of a call to Telegram that brings no result. The error says what was done, and so whether to repeat it.

DeliveryError
+ Crowded       no place under Telegram's limits soon enough; nothing was sent
+ Throttled     Telegram wants no more of this for a while; nothing was done
+ Away          it was not reached, or it does not matter that it was: repeat it
+ Unsure        it was asked and no answer came: look before repeating it
+ Declined      it refused; ``reason`` says why
"""

from __future__ import annotations

from enum import StrEnum

from gateway.errors import DeliveryError


class Reason(StrEnum):
    """Why Telegram refuses, as far as it makes a difference to us."""

    BLOCKED = "blocked"
    """The person blocked the bot or is gone, or the bot was removed from the chat."""
    CHAT_GONE = "chat_gone"
    """There is no such chat for the bot."""
    MIGRATED = "migrated"
    """The group became a supergroup: ``Declined.to`` is its new id."""
    RIGHTS = "rights"
    """The bot may not do that in this chat."""
    MESSAGE_GONE = "message_gone"
    """The message to be changed or deleted is not there, or is no message of the bot's that may be changed."""
    REPLY_GONE = "reply_gone"
    """The message to be replied to is not there."""
    TOPIC_GONE = "topic_gone"
    """The topic is not there, or closed."""
    MARKUP = "markup"
    """The text has entities, or markup, that Telegram does not take."""
    TOO_LONG = "too_long"
    """The text."""
    EMPTY = "empty"
    """There is nothing to show in the text, or no text."""
    FILE = "file"
    """The file is too big, cannot be read, or is gone."""
    TOKEN = "token"  # noqa: S105  # a reason, no token
    """The token is not valid, or not any more."""
    NO_METHOD = "no_method"
    """The server does not know the method: it is older than the method, or the token is not even one."""
    CONFLICT = "conflict"
    """Somebody else fetches the updates, or a webhook is set."""
    OTHER = "other"
    """See the text."""


class Crowded(DeliveryError):
    """There is no place under Telegram's limits soon enough. Nothing was sent."""

    code = "crowded"


class Throttled(DeliveryError):
    """Telegram wants no more of this for ``retry_after`` seconds. Nothing was done."""

    code = "throttled"


class Away(DeliveryError):
    """Telegram could not be reached, or does not work. Nothing was done, or it does not matter: it may be repeated."""

    code = "telegram_away"


class Unsure(DeliveryError):
    """Telegram was asked and no answer came: it may have been done. Look before repeating it."""

    code = "telegram_unsure"


class Declined(DeliveryError):
    """Telegram refused, and will again unless ``retry_after`` is set. ``str()`` says what the operator can do."""

    code = "telegram_declined"

    def __init__(
        self,
        message: str = "",
        *,
        reason: Reason = Reason.OTHER,
        to: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason
        self.to = to
        """With MIGRATED: the id that the chat has now."""
