"""Formats replies for Telegram: Markdown becomes text with entities, in parts that Telegram accepts."""

from __future__ import annotations

import re

from adapters.base.markdown import MIN_LIMIT, cut, utf16_units
from adapters.telegram.entity_writer import FormattedText, render

__all__ = ["FormattedText", "parts", "plain"]

MAX_UNITS = 4096
"""core.telegram.org/bots/api#sendmessage: "1-4096 characters after entities parsing", in UTF-16 code units."""
MAX_ENTITIES = 100
"""Telegram ignores further ones: limits.tginfo.me/en."""
INVISIBLE = re.compile(
    r"[\s\x00-\x1f\xa0\u030a\u0333\u033f\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\ufeff\ufffc"
    r"\U000e0000-\U000e0fff]*+"
)
"""What Telegram removes from a text or regards as empty: github.com/tdlib/td, td/telegram/misc.cpp."""


def parts(markdown: str) -> list[FormattedText]:
    """Returns the reply in parts, one for each message; none for a reply with nothing visible in it."""
    return [message for part in cut(_normalized(markdown), MAX_UNITS, utf16_units) for message in _messages(part)]


def plain(markdown: str) -> list[str]:
    """Returns the parts as they were written, for a server that refuses those of ``parts``."""
    return [part for part in cut(_normalized(markdown), MAX_UNITS, utf16_units) if _is_visible(part)]


def _messages(markdown: str) -> list[FormattedText]:
    """Returns one message, or several if the text became too long or has too many entities."""
    message = render(markdown)
    size = utf16_units(markdown)
    if size > MIN_LIMIT and (utf16_units(message.text) > MAX_UNITS or len(message.entities) > MAX_ENTITIES):
        halves = cut(markdown, max(MIN_LIMIT, size // 2), utf16_units)
        return [message for half in halves for message in _messages(half)]
    if not _is_visible(message.text):
        message = FormattedText(markdown, (), markdown)
    return [message] if _is_visible(message.text) else []


def _normalized(markdown: str) -> str:
    """Replaces lone surrogates, which cannot be sent, and unifies line ends."""
    text = markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_visible(text: str) -> bool:
    return INVISIBLE.fullmatch(text) is None
