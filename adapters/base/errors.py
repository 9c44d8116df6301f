"""What can go wrong in a call to a chat platform. The class says whether the call may be repeated.

DeliveryError
+ RateLimitTimeout     no token of the platform's rate limits became free in time; nothing was sent
+ PlatformRateLimited  the platform asks for no more such calls for a while; nothing was done
+ Unreachable          nothing was done, or doing it twice is harmless: repeat it
+ OutcomeUnknown       the call was sent and no answer came: find out before repeating it
+ Rejected             the platform refused; ``reason`` says why
"""

from __future__ import annotations

from gateway.domain.errors import DeliveryError, LeaseLost, StoreUnavailable


class RateLimitTimeout(DeliveryError):
    """No token of the platform's rate limits became free in time. Nothing was sent."""

    code = "rate_limit_timeout"


class PlatformRateLimited(DeliveryError):
    """The platform asks for no more such calls for ``retry_after`` seconds. Nothing was done."""

    code = "platform_rate_limited"


class Unreachable(DeliveryError):
    """The platform cannot be reached or does not work. Nothing was done, or doing it twice is harmless."""

    code = "platform_unreachable"


class OutcomeUnknown(DeliveryError):
    """The call was sent and no answer came: it may have been done. Find out before repeating it."""

    code = "outcome_unknown"


class Rejected(DeliveryError):
    """The platform refused, and will again unless ``retry_after`` is set. ``str()`` says what the operator can do."""

    code = "platform_rejected"

    def __init__(self, message: str = "", *, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason
        """The platform's own code, or the adapter's name for the cause; empty if the platform was not asked."""


NOT_DONE = (RateLimitTimeout, PlatformRateLimited, Unreachable, Rejected, LeaseLost, StoreUnavailable)
"""Errors after which it is known that nothing was posted. After others, and after a cancellation, it is not known."""
