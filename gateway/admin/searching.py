"""What an operator looks for, as the address of a page says it, and where the next page of it begins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import flask

from gateway.catalogue import Catalogue, Line, Search
from gateway.messages import Turn, TurnId, TurnState
from gateway.storing import Store

PAGE = 50
FIELDS = ("platform", "channel", "user", "text", "state")
LONGEST_WORD = 200
MARK = "~"


def wanted() -> Search:
    """What the present request looks for."""
    said = fields()
    state = TurnState(said["state"]) if said.get("state") in set(TurnState) else None
    return Search(said["platform"], said["channel"], said["user"], said["text"], state)


def fields() -> Mapping[str, str]:
    """The same for a form."""
    return {name: flask.request.args.get(name, "").strip()[:LONGEST_WORD] for name in FIELDS}


def before_turn(store: Store) -> Turn | None:
    """The turn that the page before this one ended with."""
    named = flask.request.args.get("before", "")
    return store.turn(TurnId(named)) if named else None


def before_line(catalogue: Catalogue) -> Line | None:
    """The conversation that the page before this one ended with, as it was there."""
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
    """What ``before_line`` reads."""
    return f"{line.last_at!r}{MARK}{line.conversation.id}"


def older(page: Sequence[object], mark: str) -> str | None:
    """Where the next page is, if there may be one."""
    if len(page) < PAGE:
        return None
    said = {name: value for name, value in fields().items() if value}
    return f"?{urlencode({**said, 'before': mark})}"
