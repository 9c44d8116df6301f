"""A message's text as people see it: read with care from foreign JSON, its links spelled out, our name taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.text_input import MENTION, labelled_link, resolve_mentions

LARGEST_NUMBER = 2**63


@dataclass(frozen=True, slots=True)
class Me:
    """The bot itself. As long as ``username`` is empty, nobody can mention it by name."""

    id: int
    username: str = ""


# ---------------------------------------------------------------- reading with care


def number_in(fields: Fields, name: str) -> int | None:
    """A whole number that can be Telegram's; None when there is none."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -LARGEST_NUMBER < value < LARGEST_NUMBER else None


# ---------------------------------------------------------------- text and its entities


@dataclass(frozen=True, slots=True)
class Mark:
    """A part of a text that means more than its characters."""

    start: int
    end: int
    kind: str
    fields: Fields

    def calls(self, text: str, me: Me) -> bool:
        """Whether it is a mention of us. Usernames are the same in any case."""
        match self.kind:
            case "mention":
                return bool(me.username) and text[self.start : self.end].lower() == f"@{me.username}".lower()
            case "text_mention":
                return number_in(object_in(self.fields, "user"), "id") == me.id
        return False


def written(message: Fields) -> tuple[str, list[Mark]]:
    """What stands in a message, or under its media."""
    if text := text_in(message, "text"):
        return text, marks(text, objects_in(message, "entities"))
    caption = text_in(message, "caption")
    return caption, marks(caption, objects_in(message, "caption_entities"))


def marks(text: str, entities: Sequence[Fields]) -> list[Mark]:
    """Entities in the order of the text, those left out that do not lie within it.

    Telegram counts UTF-16 code units: core.telegram.org/bots/api#messageentity
    """
    if not entities:
        return []
    units = accumulate((2 if character > "\uffff" else 1 for character in text), initial=0)
    places = {unit: place for place, unit in enumerate(units)}
    found = [mark for mark in (_mark(places, entity) for entity in entities) if mark is not None]
    return sorted(found, key=lambda mark: (mark.start, -mark.end))


def _mark(places: Mapping[int, int], entity: Fields) -> Mark | None:
    offset, length = number_in(entity, "offset"), number_in(entity, "length")
    if offset is None or length is None:
        return None
    start, end = places.get(offset), places.get(offset + length)
    if start is None or end is None or start >= end:
        return None
    return Mark(start, end, text_in(entity, "type"), entity)


def calls(message: Fields, me: Me) -> bool:
    """Whether we are mentioned."""
    text, found = written(message)
    return any(mark.calls(text, me) for mark in found)


def readable(text: str, found: Sequence[Mark], me: Me) -> str:
    """A text with the addresses of its links.

    A mention of us is taken out where the text begins or ends with it; elsewhere it is "@you".
    """
    parts, done = [], 0
    for mark in found:
        spoken = _spoken(text, mark, me)
        if spoken is not None and mark.start >= done:
            parts += [text[done : mark.start], spoken]
            done = mark.end
    return resolve_mentions("".join([*parts, text[done:]]))


def _spoken(text: str, mark: Mark, me: Me) -> str | None:
    """What is read in place of a mark; None for what is written there."""
    if mark.calls(text, me):
        return MENTION
    url = text_in(mark.fields, "url")
    if mark.kind != "text_link" or not url:
        return None
    return labelled_link(text[mark.start : mark.end], url)
