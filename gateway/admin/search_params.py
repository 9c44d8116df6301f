"""Reads search fields and the page cursor from the query string."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import flask

from gateway.domain.models import Turn, TurnId, TurnState
from gateway.ports.reporting import ConversationSummary, ReportingStore, TurnFilter
from gateway.ports.store import Store

PAGE_SIZE = 50
SEARCH_FIELDS = ("name", "platform", "channel", "user", "text", "state", "assistant")
SPANS: Mapping[str, tuple[str, float]] = {
    "24h": ("24 hours", 86_400.0),
    "7d": ("7 days", 7 * 86_400.0),
    "30d": ("30 days", 30 * 86_400.0),
    "365d": ("a year", 365 * 86_400.0),
}
"""Times to look back, by their value in a form: in words, and in seconds."""
MAX_FIELD_CHARS = 200
CURSOR_SEPARATOR = "~"


def requested_search() -> TurnFilter:
    """Returns the search of the current request."""
    given = form_fields()
    state = TurnState(given["state"]) if given.get("state") in set(TurnState) else None
    return TurnFilter(given["platform"], given["channel"], given["user"], given["text"], state, given["assistant"])


def form_fields() -> Mapping[str, str]:
    """Returns the search fields of the current request, for the search form."""
    return fields(SEARCH_FIELDS)


def fields(names: Sequence[str]) -> Mapping[str, str]:
    """Returns the fields of the current request's form; empty ones for those that it leaves out."""
    return {name: flask.request.args.get(name, "").strip()[:MAX_FIELD_CHARS] for name in names}


def query(given: Mapping[str, str], **more: object) -> str:
    """Returns a query string with the fields of a form that have a value, and more parameters."""
    return f"?{urlencode({name: value for name, value in {**given, **more}.items() if value})}"


def begin_of(span: str, reporting: ReportingStore) -> float | None:
    """Returns when one of SPANS began that ends now; None for any other."""
    return reporting.now() - SPANS[span][1] if span in SPANS else None


def cursor_number(most: int) -> int | None:
    """Returns the number of the entry that ended the previous page, from 0 to ``most``; None on the first page."""
    named = flask.request.args.get("before", type=int)
    return None if named is None else max(0, min(named, most))


def cursor_place() -> tuple[float, str, str] | None:
    """Returns the time and the two names of the last entry of the previous page, or None on the first page."""
    at, _, rest = flask.request.args.get("before", "").partition(CURSOR_SEPARATOR)
    first, _, second = rest.partition(CURSOR_SEPARATOR)
    try:
        return (float(at), first, second) if math.isfinite(float(at)) else None
    except ValueError:
        return None


def cursor_at(at: float, first: str, second: str) -> str:
    """Returns the cursor that ``cursor_place`` reads."""
    return CURSOR_SEPARATOR.join((repr(at), first, second))


def cursor_turn(store: Store) -> Turn | None:
    """Returns the last turn of the previous page, or None on the first page."""
    named = flask.request.args.get("before", "")
    return store.get_turn(TurnId(named)) if named else None


def cursor_summary(reporting: ReportingStore) -> ConversationSummary | None:
    """Returns the last conversation of the previous page with the time it had there, or None on the first page."""
    at, _, number = flask.request.args.get("before", "").partition(CURSOR_SEPARATOR)
    try:
        last_at = float(at)
    except ValueError:
        return None
    if not math.isfinite(last_at) or not number.isascii() or not number.isdecimal():
        return None
    conversation = reporting.get_conversation(int(number[:18]))
    return None if conversation is None else ConversationSummary(conversation, 0, 0, last_at)


def cursor_of(summary: ConversationSummary) -> str:
    """Returns the cursor that ``cursor_summary`` reads."""
    return f"{summary.last_at!r}{CURSOR_SEPARATOR}{summary.conversation.id}"


def next_page_url(page: Sequence[object], cursor: str) -> str | None:
    """Returns the query string of the next page, or None if this page is not full."""
    if len(page) < PAGE_SIZE:
        return None
    return query(form_fields(), before=cursor)
