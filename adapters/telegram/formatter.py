"""Formats replies for Telegram: Markdown becomes text with entities, in parts that Telegram accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adapters.base.markdown.splitting import MIN_LIMIT, cut, split, utf16_units
from adapters.telegram.entity_writer import render, rendered
from adapters.telegram.growing_text import FormattedText
from gateway.domain.visible_text import is_visible

__all__ = ["FormattedText", "parts", "plain", "with_buttons"]

MAX_UNITS = 4096
"""core.telegram.org/bots/api#sendmessage: "1-4096 characters after entities parsing", in UTF-16 code units."""
MAX_ENTITIES = 100
"""Telegram ignores further ones: limits.tginfo.me/en."""
STEP = 32
"""Code units. How exactly a message with too many entities is filled."""
FIRST_LOOK = 512
"""Characters."""
ENTITY_MARK = re.compile(r"[*_`~\[@#>|]")
"""What each entity has at least one of."""
WINDOW = 2 * MAX_UNITS
"""Characters of the reply that decide where its next message ends."""


@dataclass(slots=True)
class FormattedParts:
    """What was found out about a reply while it was shorter."""

    messages: dict[str, FormattedText] = field(default_factory=dict)
    """By their Markdown."""
    limits: dict[str, int] = field(default_factory=dict)
    """By how the rest of the reply begins: the length of a message that is short for its entities or tables."""


def parts(markdown: str, known: FormattedParts | None = None) -> list[FormattedText]:
    """Returns the reply in parts, one for each message; none for a reply with nothing visible in it.

    Each message is as long as it may be, and ends where it did while the reply was shorter. ``known``: is kept up to
    date, so that nothing is formatted twice of a reply that grows.
    """
    before, now = known or FormattedParts(), FormattedParts()
    rest, messages = _normalized(markdown), []
    while rest:
        window = rest[:WINDOW]
        message, left = _first(window, before, now)
        messages.append(message)
        rest = left + rest[WINDOW:]
    if known is not None:
        known.messages, known.limits = now.messages, now.limits
    return [message for message in messages if is_visible(message.text)]


def _first(window: str, before: FormattedParts, now: FormattedParts) -> tuple[FormattedText, str]:
    """Returns the longest message with which the text can begin, and the rest."""
    start = next((start for start in before.limits if window.startswith(start)), "")
    limit = before.limits.get(start, 0)
    part, rest = _split(window, limit or MAX_UNITS)
    message = before.messages.get(part)
    if message is None:
        beginning, message, lines = _rendered(part)
        if not limit and not _fits(message):
            limit = _longest(beginning, lines)
            start = part[: limit + STEP]
            part, rest = _split(window, limit)
            message = render(part)
    if limit:
        now.limits[start] = limit
    now.messages[part] = message
    return message if is_visible(message.text) else FormattedText(part, (), part), rest


def _rendered(part: str) -> tuple[str, FormattedText, Sequence[int]]:
    """Returns a part as ``rendered``, or a beginning of it that has too many entities already, which is read sooner."""
    length = FIRST_LOOK
    while length < len(part):
        beginning = part[:length]
        if len(ENTITY_MARK.findall(beginning)) > MAX_ENTITIES:
            message, lines = rendered(beginning)
            if len(lines) > MAX_ENTITIES:
                return beginning, message, lines
        length *= 2
    return (part, *rendered(part))


def _longest(part: str, lines: Sequence[int]) -> int:
    """Returns the largest limit, by steps, for a shorter part that fits after formatting.

    What precedes its end decides alone: so it is the same however much follows. ``lines``: of the entities.
    """
    crowded = len(lines) > MAX_ENTITIES
    limit = utf16_units(part[: _last_entity(part, lines)] if crowded else part) // STEP * STEP
    while limit > MIN_LIMIT and not _fits(render(_split(part, limit)[0])):
        limit -= STEP if crowded else limit // STEP // 8 * STEP + STEP
    return max(limit, MIN_LIMIT)


def _last_entity(part: str, lines: Sequence[int]) -> int:
    """Returns where, in the block that has one entity too many, the last one may end."""
    begun = lines[MAX_ENTITIES]
    start = sum(len(line) + 1 for line in part.split("\n")[:begun])
    room = MAX_ENTITIES - sum(line < begun for line in lines)
    fits, fails = 0, (len(part) - start) // STEP + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if len(render(part[start : start + middle * STEP]).entities) <= room:
            fits = middle
        else:
            fails = middle
    return start + fits * STEP


def _split(window: str, limit: int) -> tuple[str, str]:
    return (window, "") if utf16_units(window) <= limit else split(window, limit, utf16_units)


def _fits(message: FormattedText) -> bool:
    return utf16_units(message.text) <= MAX_UNITS and len(message.entities) <= MAX_ENTITIES


def plain(markdown: str) -> list[str]:
    """Returns the parts as they were written, for a server that refuses those of ``parts``."""
    return [part for part in cut(_normalized(markdown), MAX_UNITS, utf16_units) if is_visible(part)]


def with_buttons(messages: Sequence[FormattedText], buttons: tuple[tuple[str, str], ...]) -> list[FormattedText]:
    """Returns messages with buttons below the last one."""
    return [*messages[:-1], *(replace(each, buttons=buttons) for each in messages[-1:])]


def _normalized(markdown: str) -> str:
    """Replaces lone surrogates, which cannot be sent, and unifies line ends."""
    text = markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
