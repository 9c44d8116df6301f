"""What a reply says of a model that refuses, where the server tells that from other text."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.assistants.json_fields import as_objects, as_text
from gateway.assistants.sse import Json
from gateway.domain.run_events import TextDelta


def refusal_in(message: Json) -> str:
    """Returns the refusal in the parts of a message, as Responses and the Assistants API have it; "" for none."""
    return "".join(as_text(part.get("refusal")) for part in as_objects(message.get("content")))


def deltas_of(rest: str, refusal: str) -> Iterator[TextDelta]:
    """Yields the end of a reply: what of it is said, and then what of it belongs to the refusal that it ends with."""
    begin = max(len(rest) - len(refusal), 0)
    if not refusal.endswith(rest[begin:]):
        begin = len(rest)
    if rest[:begin]:
        yield TextDelta(rest[:begin])
    if rest[begin:]:
        yield TextDelta(rest[begin:], is_refusal=True)
