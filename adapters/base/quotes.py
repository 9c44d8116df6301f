"""Chooses what is quoted to an assistant, and finds what it mentions. The same for every platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.context import Quote
from gateway.domain.models import MessageKind, Turn

MAX_QUOTE_CHARS = 3_000
"""Of each message of a thread but the first."""
CUT = " […]"
MOST_FILES = 4
"""Files of a thread that are shown to the assistant: the newest, of which it is asked most often."""


def thread_not_read(why: str) -> str:
    """Returns what the assistant is told where a thread cannot be read."""
    return f"The earlier messages of this thread could not be read: {why}."


def left_out(dropped: int) -> tuple[str, ...]:
    """Returns what the assistant is told of messages of a thread that were too many: nothing, or one note."""
    return (f"{dropped} more messages of this thread were left out.",) if dropped else ()


def last_read(earlier: Sequence[Turn]) -> Turn | None:
    """Returns the last of these turns that the assistant has read, or after which it was to forget; None if none is."""
    read = [turn for turn in earlier if turn.reply or turn.reply_files or turn.message.kind is MessageKind.RESET]
    return read[-1] if read else None


def within_budget(quotes: Sequence[Quote], max_chars: int) -> tuple[list[Quote], int]:
    """Returns the first quote and the newest others that fit, oldest first, and how many were left out.

    The first message of a thread says what it is about: it may take half of the characters, and all if it is alone.
    Quotes without text are left out, and not counted.
    """
    said = [quote for quote in quotes if quote.text]
    if not said or max_chars <= 0:
        return [], 0
    half = max_chars // 2
    first = _cut(said[0], half if said[1:] else max_chars)
    others = [_cut(quote, min(MAX_QUOTE_CHARS, half)) for quote in said[1:]]
    left, kept = max_chars - len(first.text), []
    for quote in reversed(others):
        left -= len(quote.text)
        if left < 0:
            break
        kept.append(quote)
    return [first, *reversed(kept)], len(others) - len(kept)


def _cut(quote: Quote, limit: int) -> Quote:
    limit = max(limit, len(CUT))
    return quote if len(quote.text) <= limit else replace(quote, text=quote.text[: limit - len(CUT)].rstrip() + CUT)
