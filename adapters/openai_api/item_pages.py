"""Pages of a list of items: developers.openai.com/api/reference, "List items" of conversations and responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.openai_api.content_parts import refusal
from gateway.web.api.routes import HttpRequest

DEFAULT_LIMIT, MAX_LIMIT = 20, 100


def page_of(request: HttpRequest, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the page that a request asks for. ``items``: all, oldest first. Raises InvalidRequest."""
    order, given = request.query_value("order") or "desc", request.query_value("limit")
    if order not in ("asc", "desc"):
        raise refusal("order", 'must be "asc" or "desc"')
    if given and not (given.isdecimal() and 1 <= int(given[:9]) <= MAX_LIMIT):
        raise refusal("limit", f"must be a number from 1 to {MAX_LIMIT}")
    ordered = list(items) if order == "asc" else list(items)[::-1]
    rest = ordered[_start(ordered, request.query_value("after")) :]
    shown = rest[: int(given or DEFAULT_LIMIT)]
    names = [item["id"] for item in shown] or [""]
    return {
        "object": "list",
        "data": shown,
        "first_id": names[0],
        "last_id": names[-1],
        "has_more": len(rest) > len(shown),
    }


def _start(items: Sequence[dict[str, Any]], after: str) -> int:
    """Returns where the page begins; an item that is not there ends the list."""
    if not after:
        return 0
    return next((place + 1 for place, item in enumerate(items) if item["id"] == after), len(items))
