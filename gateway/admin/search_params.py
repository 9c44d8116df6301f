"""Reads search fields and the page cursor from the query string."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import flask

from gateway.domain.models import Turn, TurnId, TurnState
from gateway.ports.reporting import Catalogue, Line, Search
from gateway.ports.store import Store

PAGE = 50
FIELDS = ("platform", "channel", "user", "text", "state")
LONGEST_WORD = 200
MARK = "~"


def wanted() -> Search:
    """Returns the search of the current request."""
    given = fields()
    state = TurnState(given["state"]) if given.get("state") in set(TurnState) else None
    return Search(given["platform"], given["channel"], given["user"], given["text"], state)


def fields() -> Mapping[str, str]:
    """Returns the search fields of the current request, for the search form."""
    return {name: flask.request.args.get(name, "").strip()[:LONGEST_WORD] for name in FIELDS}


def before_turn(store: Store) -> Turn | None:
    """Returns the last turn of the previous page, or None on the first page."""
    named = flask.request.args.get("before", "")
    return store.turn(TurnId(named)) if named else None


def before_line(catalogue: Catalogue) -> Line | None:
    """Returns the last conversation of the previous page with the time it had there, or None on the first page."""
    at, _, number = flask.request.args.get("before", "").partition(MARK)
    try:
        last_at = float(at)
    except ValueError:
        return None
    if not math.isfinite(last_at) or not number.isascii() or not number.isdecimal():
        return None
    conversation = catalogue.conversation_by_id(int(number[:18]))
    return None if conversation is None else Line(conversation, 0, 0, last_at)


def mark_of(line: Line) -> str:
    """Returns the cursor that ``cursor_summary`` reads."""
    return f"{line.last_at!r}{MARK}{line.conversation.id}"


def older(page: Sequence[object], mark: str) -> str | None:
    """Returns the query string of the next page, or None if this page is not full."""
    if len(page) < PAGE:
        return None
    given = {name: value for name, value in fields().items() if value}
    return f"?{urlencode({**given, 'before': mark})}"
