"""When a schedule is due: times with a zone, and cron's syntax in a time zone. No I/O."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from gateway.domain.errors import MalformedRequest

FIELDS = 5
"""Minute, hour, day of month, month, day of week. A sixth one would be seconds."""
LATEST = 253_402_300_799.0
"""The end of the year 9999, the last that a datetime holds."""


def parse_time(text: str) -> float:
    """Returns a time that is written as in ISO 8601, in seconds since the epoch. Raises MalformedRequest."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None and 0.0 < at.timestamp() < LATEST:
            return at.timestamp()
    except (ValueError, OverflowError):
        pass
    raise MalformedRequest(
        "`at` must be a time with its zone in ISO 8601, such as 2026-12-24T18:00:00+01:00.", code="invalid_field"
    )


def first_tick(every: str, time_zone: str, after: float) -> float:
    """Returns when a new schedule is due first. Raises MalformedRequest, which says what is wrong with it."""
    if len(every.split()) != FIELDS:
        raise _wrong_syntax(f"It has {len(every.split())}")
    try:
        tick = next_tick(every, time_zone, after)
    except CronSimError as exc:
        raise _wrong_syntax(str(exc)) from None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MalformedRequest(
            "`time_zone` must be a name of the IANA database, such as Europe/Berlin.", code="invalid_field"
        ) from None
    if tick is None:
        raise MalformedRequest("`every` names a time that never comes.", code="invalid_field")
    return tick


def _wrong_syntax(reason: str) -> MalformedRequest:
    explanation = f"`every` must be five fields in cron's syntax, such as 0 9 * * MON-FRI. {reason}."
    return MalformedRequest(explanation, code="invalid_field")


def next_tick(every: str, time_zone: str, after: float) -> float | None:
    """Returns the first time after ``after`` that cron's syntax names in a time zone; None if there is none.

    As Debian's cron: what falls into the hour that is skipped in spring comes right after it, and what falls into the
    hour that is repeated in autumn comes once, unless it comes each hour or more often anyway.
    """
    start = datetime.fromtimestamp(after, ZoneInfo(time_zone))
    for tick in CronSim(every, start):
        if tick.timestamp() > after:  # it is not, between the two passes of a repeated hour
            return tick.timestamp()
    return None
