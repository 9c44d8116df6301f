"""What programs carry that keep the history themselves: the reasoning that a server wants back with its calls.

A program gets it as one text. It is not signed: what is taken back of it is nothing but reasoning that the server has
encrypted itself, and checks, and what comes beside single calls, which programs may send anyway (``extra_content``).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from gateway.domain.extra_content import extra_contents

NAME = "reasoning"
INCLUDE = "reasoning.encrypted_content"
"""What a request names to get it."""
MAX_CHARS = 1_000_000
"""Of one text; above it there is none."""
REASONING_ID = re.compile(r"rs_\w{1,200}", re.ASCII)

Sealed = Mapping[str, str]
"""``id`` and ``encrypted_content`` of an item with reasoning, as the Responses API has them."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What one such text holds."""

    sealed: tuple[Sealed, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """See ``extra_contents``."""


def to_carry(returned: str) -> str:
    """Returns the text for what goes back with calls, see ``CallRound.returned``; "" for nothing."""
    sealed, extra = sealed_reasoning(returned), extra_contents(returned)
    if not (sealed or extra):
        return ""
    text = base64.b64encode(json.dumps({NAME: sealed, "calls": extra}).encode()).decode()
    return text if len(text) <= MAX_CHARS else ""


def read_carried(text: str) -> Carried:
    """Returns what a text holds that a program brings; nothing for one that is none of ours, whatever it is."""
    try:
        found = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, RecursionError):
        return Carried()
    calls = found.get("calls") if isinstance(found, dict) else None
    if not isinstance(calls, dict):
        return Carried()
    return Carried(tuple(_sealed(found.get(NAME))), {name: each for name, each in calls.items() if _is_object(each)})


def sealed_reasoning(returned: str) -> Sequence[Sealed]:
    """Returns the reasoning that is before all else of a response, or was carried; none if there is some between."""
    found = json.loads(returned) if returned else {}
    items = found.get("items", ())
    first = [*takewhile(_is_reasoning, items)]
    is_first = not any(map(_is_reasoning, items[len(first) :]))
    return [*_sealed(found.get(NAME)), *(_sealed(first) if is_first else ())]


def _is_reasoning(item: Any) -> bool:
    return _is_object(item) and item.get("type") == NAME


def _sealed(items: Any) -> Iterable[Sealed]:
    for item in items if isinstance(items, list) else ():
        content, identity = (item.get("encrypted_content"), item.get("id")) if _is_object(item) else (None, None)
        if isinstance(content, str) and isinstance(identity, str) and REASONING_ID.fullmatch(identity):
            yield {"id": identity, "encrypted_content": content}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
