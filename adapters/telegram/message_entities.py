"""Reads a message's text with its entities: mentions of the bot, and links with their addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.text_input import MENTION, labelled_link, resolve_mentions

LARGEST_NUMBER = 2**63


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """The bot itself. While ``username`` is empty, it cannot be mentioned by name."""

    id: int
    username: str = ""


def number_in(fields: Fields, name: str) -> int | None:
    """Returns a whole number of at most 64 bits; None if there is none."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -LARGEST_NUMBER < value < LARGEST_NUMBER else None


# ---------------------------------------------------------------- text and its entities


@dataclass(frozen=True, slots=True)
class EntitySpan:
    """A part of a text that is marked by an entity."""

    start: int
    end: int
    kind: str
    fields: Fields

    def mentions_bot(self, text: str, me: BotIdentity) -> bool:
        """Tells whether it mentions the bot. Usernames are case-insensitive."""
        match self.kind:
            case "mention":
                return bool(me.username) and text[self.start : self.end].lower() == f"@{me.username}".lower()
            case "text_mention":
                return number_in(object_in(self.fields, "user"), "id") == me.id
        return False


def written(message: Fields) -> tuple[str, list[EntitySpan]]:
    """Returns the text of a message, or its caption, with the entities in it."""
    if text := text_in(message, "text"):
        return text, entity_spans(text, objects_in(message, "entities"))
    caption = text_in(message, "caption")
    return caption, entity_spans(caption, objects_in(message, "caption_entities"))


def entity_spans(text: str, entities: Sequence[Fields]) -> list[EntitySpan]:
    """Returns the entities in the order of the text, without those outside of it.

    Telegram counts UTF-16 code units: core.telegram.org/bots/api#messageentity
    """
    if not entities:
        return []
    units = accumulate((2 if character > "\uffff" else 1 for character in text), initial=0)
    places = {unit: place for place, unit in enumerate(units)}
    found = [span for span in (_span(places, entity) for entity in entities) if span is not None]
    return sorted(found, key=lambda span: (span.start, -span.end))


def _span(places: Mapping[int, int], entity: Fields) -> EntitySpan | None:
    offset, length = number_in(entity, "offset"), number_in(entity, "length")
    if offset is None or length is None:
        return None
    start, end = places.get(offset), places.get(offset + length)
    if start is None or end is None or start >= end:
        return None
    return EntitySpan(start, end, text_in(entity, "type"), entity)


def mentions_bot(message: Fields, me: BotIdentity) -> bool:
    """Tells whether the bot is mentioned."""
    text, found = written(message)
    return any(span.mentions_bot(text, me) for span in found)


def readable(text: str, found: Sequence[EntitySpan], me: BotIdentity) -> str:
    """Returns a text with the addresses of its links.

    A mention of the bot is removed at the start and at the end; elsewhere it is "@you".
    """
    parts, done = [], 0
    for span in found:
        replacement = _replacement(text, span, me)
        if replacement is not None and span.start >= done:
            parts += [text[done : span.start], replacement]
            done = span.end
    return resolve_mentions("".join([*parts, text[done:]]))


def _replacement(text: str, span: EntitySpan, me: BotIdentity) -> str | None:
    """Returns what replaces an entity's text; None to keep it."""
    if span.mentions_bot(text, me):
        return MENTION
    url = text_in(span.fields, "url")
    if span.kind != "text_link" or not url:
        return None
    return labelled_link(text[span.start : span.end], url)
