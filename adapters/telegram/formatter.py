"""Replies as Telegram takes them: Markdown becomes text with entities, in parts that it accepts."""

from __future__ import annotations

import re

from adapters.base.markdown import LEAST_LIMIT, cut, utf16_units
from adapters.telegram.entity_writer import FormattedText, render

__all__ = ["FormattedText", "parts", "plain"]

MAX_UNITS = 4096
"""core.telegram.org/bots/api#sendmessage: "1-4096 characters after entities parsing", in UTF-16 code units."""
MAX_ENTITIES = 100
"""Of more, Telegram ignores the last: limits.tginfo.me/en."""
UNSEEN = re.compile(
    r"[\s\x00-\x1f\xa0\u030a\u0333\u033f\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\ufeff\ufffc"
    r"\U000e0000-\U000e0fff]*+"
)
"""What Telegram takes out of a text, and what it finds empty: github.com/tdlib/td, td/telegram/misc.cpp."""


def parts(markdown: str) -> list[FormattedText]:
    """The reply in parts, each a message and whole in itself. None for a reply in which there is nothing to see."""
    return [message for part in cut(_readable(markdown), MAX_UNITS, utf16_units) for message in _messages(part)]


def plain(markdown: str) -> list[str]:
    """The same as it was written, for a server that refuses what ``parts`` makes of it."""
    return [part for part in cut(_readable(markdown), MAX_UNITS, utf16_units) if _is_seen(part)]


def _messages(markdown: str) -> list[FormattedText]:
    """One, unless it is longer than what it was made of, or full of entities."""
    message = render(markdown)
    size = utf16_units(markdown)
    if size > LEAST_LIMIT and (utf16_units(message.text) > MAX_UNITS or len(message.entities) > MAX_ENTITIES):
        halves = cut(markdown, max(LEAST_LIMIT, size // 2), utf16_units)
        return [message for half in halves for message in _messages(half)]
    if not _is_seen(message.text):
        message = FormattedText(markdown, (), markdown)
    return [message] if _is_seen(message.text) else []


def _readable(markdown: str) -> str:
    """Without halves of surrogate pairs, which nobody can send, and with line ends of one kind."""
    text = markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_seen(text: str) -> bool:
    return UNSEEN.fullmatch(text) is None
