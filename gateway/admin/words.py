"""How numbers, times and texts are written on the operator's pages."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import flask

from gateway.logs import mask

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
GAP = "\N{NARROW NO-BREAK SPACE}"
NONE = "–"  # noqa: RUF001  # the dash that stands for no number


def add_filters(blueprint: flask.Blueprint) -> None:
    for write in (clock, iso, duration, count, money, share, amount):
        blueprint.add_app_template_filter(write, f"admin_{write.__name__}")
    blueprint.add_app_template_filter(mask, "admin_masked")


def clock(at: float | None) -> str:
    """A time, in UTC."""
    return NONE if at is None else f"{_utc(at):%Y-%m-%d %H:%M:%S}"


def iso(at: float) -> str:
    """The same for programs."""
    return _utc(at).isoformat(timespec="milliseconds")


def duration(seconds: float | None) -> str:
    """In the two largest units that say something."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.0f}{GAP}ms"
    if seconds < MINUTE:
        return f"{seconds:.3g}{GAP}s"
    for unit, name, small, smaller in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1.0, "s")):
        if seconds >= unit:
            whole, rest = divmod(seconds, unit)
            more = f" {rest // small:.0f}{GAP}{smaller}" if rest >= small else ""
            return f"{whole:.0f}{GAP}{name}{more}"
    raise AssertionError(seconds)  # pragma: no cover  # every number has a unit


def count(number: float) -> str:
    return f"{number:,.0f}".replace(",", GAP)


def money(millionths: float) -> str:
    """In the currency of the prices: two digits behind the point, or as many as show that it is not nothing."""
    whole = millionths / 1e6
    digits = 2 if whole == 0 or abs(whole) >= 1 else min(6, 1 - math.floor(math.log10(abs(whole))))
    return f"{whole:,.{max(2, digits)}f}".replace(",", GAP)


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g}{GAP}%" if whole else NONE


def amount(value: float | None, unit: str) -> str:
    """A number of a plot, in its unit."""
    if value is None:
        return NONE
    if unit == "s":
        return duration(value)
    if unit == "cost":
        return money(value * 1e6)
    return f"{value:.2f}" if unit == "per minute" else count(value)


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
