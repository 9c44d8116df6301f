"""Reads a message's text with its entities: mentions of the bot, and links with their addresses."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.text_input import MENTION, calling, labelled_link, moment, quoted, resolve_mentions

LARGEST_NUMBER = 2**63
BACKTICKS = re.compile("`+")
MARKS = {"strikethrough": "~~", "spoiler": "||"}
CALLS = calling(MENTION)
DEEPEST = 20
"""Levels of entities within each other that are read."""


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

    def is_command_to(self, text: str, me: BotIdentity) -> bool:
        """Tells whether it is a command that names the bot."""
        name = text[self.start : self.end].partition("@")[2]
        return self.kind == "bot_command" and bool(me.username) and name.lower() == me.username.lower()

    def names_bot(self, text: str) -> bool:
        """Tells whether it mentions any bot. Their usernames end in "bot", and names of people may do so as well.

        core.telegram.org/bots/features#creating-a-new-bot
        """
        if self.kind == "text_mention":
            return object_in(self.fields, "user").get("is_bot") is True
        return self.kind == "mention" and text[: self.end].lower().endswith("bot")


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


def calls_bot(message: Fields, me: BotIdentity) -> bool:
    """Tells whether the bot is mentioned, or named behind a command, wherever that stands."""
    text, found = written(message)
    return any(span.mentions_bot(text, me) or span.is_command_to(text, me) for span in found)


def calls_others(message: Fields, me: BotIdentity) -> bool:
    """Tells whether a message calls upon somebody else, or names another bot, and not this one."""
    text, found = written(message)
    called = [span for span in found if span.kind in ("mention", "text_mention")]
    if any(span.mentions_bot(text, me) for span in called):
        return False
    if any(span.names_bot(text) for span in called):
        return True
    for span in reversed(called):
        text = text[: span.start] + MENTION + text[span.end :]
    return CALLS.search(text) is not None


def readable(text: str, found: Sequence[EntitySpan], me: BotIdentity) -> str:
    """Returns a text as Markdown, with the addresses of its links, and with formatting that says something.

    That is code with its language, what is struck out, quotations, and what is hidden (``||as here||``). A mention of
    the bot is removed at the start and at the end; elsewhere it is "@you".
    """
    return resolve_mentions(_written(text, 0, len(text), deque(found), me))


def _written(text: str, start: int, end: int, spans: deque[EntitySpan], me: BotIdentity, depth: int = 0) -> str:
    """Returns a part of a text. ``spans``: the entities from here on, of which those within the part are taken."""
    parts, at = [], start
    while spans and spans[0].start < end:
        span = spans.popleft()
        if span.start < at or span.end > end or depth == DEEPEST:
            continue  # it overlaps another one
        inner = _written(text, span.start, span.end, spans, me, depth + 1)
        parts += [text[at : span.start], MENTION if span.mentions_bot(text, me) else _formatted(text, span, inner)]
        at = span.end
    return "".join([*parts, text[at:end]])


def _formatted(text: str, span: EntitySpan, inner: str) -> str:
    """Returns an entity. ``inner``: its text, with the entities in it."""
    raw, url, mark = text[span.start : span.end], text_in(span.fields, "url"), MARKS.get(span.kind, "")
    match span.kind:
        case "text_mention":  # of somebody without a username
            return f"@{inner.removeprefix('@')}"
        case "text_link" if url:
            return labelled_link(raw, url)
        case "code":
            return _code(raw)
        case "pre":
            return _alone(text, span, _fenced(raw, text_in(span.fields, "language")))
        case "blockquote" | "expandable_blockquote":
            return _alone(text, span, quoted(inner))
    when = moment(str(span.fields.get("unix_time", ""))) if span.kind == "date_time" else ""
    return f"{inner} ({when})" if when else f"{mark}{inner}{mark}"


def _code(code: str) -> str:
    mark = "`" * (_longest_run(code) + 1)
    space = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{mark}{space}{code}{space}{mark}"


def _fenced(code: str, language: str) -> str:
    mark = "`" * max(3, _longest_run(code) + 1)
    return f"{mark}{language}\n{code}\n{mark}"


def _longest_run(code: str) -> int:
    return max(map(len, BACKTICKS.findall(code)), default=0)


def _alone(text: str, span: EntitySpan, block: str) -> str:
    """Returns a block on lines of its own."""
    before = "" if span.start == 0 or text[span.start - 1] == "\n" else "\n"
    after = "" if text[span.end : span.end + 1] in {"", "\n"} else "\n"
    return f"{before}{block}{after}"
