"""Turns whatever a call to Discord raises or answers into the errors of ``adapters.base.errors``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from adapters.base.error_map import DEFAULT_RETRY_AFTER, MAX_DETAIL, CallErrors, handler_for
from adapters.base.errors import Rejected
from adapters.discord.errors import ADVICE, REASONS, STATUSES, Refusal
from gateway import logs
from gateway.domain.errors import DeliveryError

PLATFORM = "Discord"


def is_repeatable(method: str) -> bool:
    """Returns whether a call may be repeated after a lost answer. ``method``: as ``POST messages``."""
    return method not in {"POST messages", "POST followup"}


ERRORS = CallErrors(PLATFORM, "DISCORD_API_URL", is_repeatable, lambda exc: type(exc).__name__)


def translate(method: str, exc: Exception) -> DeliveryError:
    """Returns our error for whatever a call raised."""
    return handler_for(ERRORS.of_network, type(exc), ERRORS.interrupted)(method, exc)


def refusal(method: str, status: int, headers: Mapping[str, str], answer: Mapping[str, Any]) -> DeliveryError:
    """Returns our error for an answer with a status of 300 or more."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ERRORS.rate_limited(method, _seconds(answer.get("retry_after", headers.get("Retry-After"))))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ERRORS.no_result(method, f"HTTP {status}")
    code = answer.get("code")
    reason = REASONS.get(code if isinstance(code, int) else 0) or STATUSES.get(status, Refusal.OTHER)
    said = logs.mask(str(answer.get("message") or f"HTTP {status}"))[:MAX_DETAIL].rstrip(".")
    advice = f" {ADVICE[reason]}." if reason in ADVICE else ""
    return Rejected(f"Discord refused {method}: {said} ({code or status}).{advice}", reason=reason)


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return DEFAULT_RETRY_AFTER
