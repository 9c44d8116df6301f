"""When a server wants to be asked again, from its headers or from what it wrote."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3600.0

DURATION = r"(?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h(?:ours?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)\s*)+"
RETRY_IN_TEXT = re.compile(
    rf"(?:try again|retry)(?:ing)? (?:in|after) ({DURATION})|"
    rf"retryDelay\W+({DURATION})|estimated_time\W+(\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
"""What servers write: OpenAI and Groq "Please try again in 7m12s", Gemini "Please retry in 32.5s" and the field
``retryDelay`` of google.rpc.RetryInfo, Azure "Please retry after 20 seconds", Hugging Face ``estimated_time``."""
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|h|m|s)", re.IGNORECASE)
UNIT_SECONDS = {"ms": 0.001, "milli": 0.001, "h": 3600.0, "m": 60.0, "s": 1.0}


def retry_after(headers: Mapping[str, str], message: str) -> float | None:
    """Returns the seconds to wait from the headers, else from the message; at most an hour. None: nothing is said."""
    seconds = _parse_milliseconds(headers.get("retry-after-ms")) or _parse_seconds_or_date(headers.get("retry-after"))
    if seconds is None:
        seconds = seconds_in_text(message)
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def seconds_in_text(message: str) -> float | None:
    found = RETRY_IN_TEXT.search(message)
    if found is None:
        return None
    if found[3]:
        return float(found[3])
    parts = DURATION_PART.findall(found[1] or found[2])
    return sum(float(number) * UNIT_SECONDS[unit.lower()] for number, unit in parts)


def _parse_milliseconds(value: str | None) -> float | None:
    try:
        return float(value) / 1000 if value else None
    except ValueError:
        return None


def _parse_seconds_or_date(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # a date without a zone cannot be compared
        return None
