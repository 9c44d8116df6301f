"""Template filters that format numbers, times and durations on the operator's pages."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import flask

from gateway.domain.shown_arguments import is_shortened, readable, shortened
from gateway.logs import mask

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
NO_VALUE = "–"  # noqa: RUF001  # the dash shown in place of a missing number


SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "INR": "₹", "KRW": "₩", "BRL": "R$"}
"""How currencies are written before an amount; the others by their code."""


def add_filters(blueprint: flask.Blueprint, currency: str = "USD") -> None:
    """``currency``: of costs, as ISO 4217 names it."""

    def money(millionths: float) -> str:
        return written_money(millionths, currency)

    def amount(value: float | None, unit: str) -> str:
        return written_amount(value, unit, currency)

    for write in (clock, iso, duration, count, money, share, amount):
        blueprint.add_app_template_filter(write, f"admin_{write.__name__}")
    blueprint.add_app_template_filter(mask, "admin_masked")
    blueprint.add_app_template_filter(readable, "admin_readable")
    blueprint.add_app_template_filter(shortened, "admin_shortened")
    blueprint.add_app_template_test(is_shortened, "admin_too_long")


def clock(at: float | None) -> str:
    """Formats a time in UTC."""
    return NO_VALUE if at is None else f"{_utc(at):%Y-%m-%d %H:%M:%S}"


def iso(at: float) -> str:
    """Formats a time as ISO 8601 in UTC, for programs."""
    return _utc(at).isoformat(timespec="milliseconds")


def duration(seconds: float | None) -> str:
    """Formats seconds in the two largest units that are not zero."""
    if seconds is None:
        return NO_VALUE
    if seconds < 1:
        return f"{seconds * 1000:.0f}{NARROW_SPACE}ms"
    if seconds < MINUTE:
        return f"{seconds:.3g}{NARROW_SPACE}s"
    for unit, name, small, smaller in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1.0, "s")):
        if seconds >= unit:
            whole, rest = divmod(seconds, unit)
            more = f" {rest // small:.0f}{NARROW_SPACE}{smaller}" if rest >= small else ""
            return f"{whole:.0f}{NARROW_SPACE}{name}{more}"
    raise AssertionError(seconds)  # pragma: no cover  # the loop returns for every number from MINUTE up


def count(number: float) -> str:
    return f"{number:,.0f}".replace(",", NARROW_SPACE)


def written_money(millionths: float, currency: str) -> str:
    """Formats millionths of a currency: two decimals, or more if the amount would show as zero."""
    whole = millionths / 1e6
    digits = 2 if whole == 0 or abs(whole) >= 1 else min(6, 1 - math.floor(math.log10(abs(whole))))
    sign = "-" if whole < 0 else ""
    return f"{sign}{symbol_of(currency)}{abs(whole):,.{max(2, digits)}f}".replace(",", NARROW_SPACE)


def symbol_of(currency: str) -> str:
    """Returns what is written before an amount."""
    return SYMBOLS.get(currency) or f"{currency}{NARROW_SPACE}"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g}{NARROW_SPACE}%" if whole else NO_VALUE


def written_amount(value: float | None, unit: str, currency: str) -> str:
    """Formats a number of a plot in its unit."""
    if value is None:
        return NO_VALUE
    if unit == "s":
        return duration(value)
    if unit == "cost":
        return written_money(value * 1e6, currency)
    return f"{value:.2f}" if unit == "per minute" else count(value)


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
