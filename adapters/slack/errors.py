"""What can come of a call to Slack that brings no result. The error says what was done, and so whether to repeat it."""

from __future__ import annotations

from gateway.errors import DeliveryError


class Crowded(DeliveryError):
    """There is no place under Slack's limits soon enough. Nothing was sent."""

    code = "crowded"


class Throttled(DeliveryError):
    """Slack wants no more of this for ``retry_after`` seconds. Nothing was done."""

    code = "throttled"


class Away(DeliveryError):
    """Slack could not be reached, or does not work. Nothing was done, or it does not matter: it may be repeated."""

    code = "slack_away"


class Unsure(DeliveryError):
    """Slack was asked and no answer came: it may have been done. Look before repeating it."""

    code = "slack_unsure"


class Declined(DeliveryError):
    """Slack refused, and will again unless ``retry_after`` is set. ``str()`` says what the operator can do."""

    code = "slack_declined"

    def __init__(self, message: str = "", *, slack_error: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.slack_error = slack_error
        """Slack's own word for it; empty where it was not Slack that refused."""
