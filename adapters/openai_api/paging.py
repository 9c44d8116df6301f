"""Lists with ``after``, ``before``, ``order`` and ``limit``: platform.openai.com/docs/api-reference/assistants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.openai_api.errors import InvalidRequest
from gateway.web.api.routes import HttpRequest

DEFAULT_LIMIT, MAX_LIMIT = 20, 100

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    limit: int
    newest_first: bool
    after: str
    before: str

    @property
    def is_backward(self) -> bool:
        """Whether it has the items nearest to ``before``; one that is also ``after`` an item begins there."""
        return bool(self.before) and not self.after


def read_page(request: HttpRequest, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> Page:
    """``default``: the limit of a request that names none. Raises InvalidRequest."""
    order = request.query_value("order") or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"Invalid value for 'order': {order[:40]!r} is not 'asc' or 'desc'.", param="order")
    given = request.query_value("limit") or str(default)
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= most:
        raise InvalidRequest(f"Invalid value for 'limit': expected 1 to {most}.", param="limit")
    return Page(int(given), order == "desc", request.query_value("after"), request.query_value("before"))


def paged(items: Sequence[Item], page: Page) -> Item:
    """Returns the body of a list. ``items``: all of them, or at least those of the page and one more; oldest first.

    Raises InvalidRequest for a cursor that is none of the items.
    """
    found = between(items, page)
    kept = found[-page.limit :] if page.is_backward else found[: page.limit]
    return list_body(kept, has_more=len(kept) < len(found))


def between(items: Sequence[Item], page: Page) -> Sequence[Item]:
    """Returns the items between the cursors of a page, in its order. Raises InvalidRequest as ``paged``."""
    found = [*reversed(items)] if page.newest_first else [*items]
    begin = _place(found, page.after, "after") + 1 if page.after else 0
    end = _place(found, page.before, "before") if page.before else len(found)
    return found[begin:end]


def list_body(items: Sequence[Item], *, has_more: bool = False) -> Item:
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }


def _place(items: Sequence[Item], name: str, param: str) -> int:
    for place, item in enumerate(items):
        if item["id"] == name:
            return place
    raise InvalidRequest(f"No object found with id '{name[:128]}' in this list.", param=param)
