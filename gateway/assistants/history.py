"""What was said before, cut to what a backend can use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.messages import Exchange

CUT = "\n[…]\n"
"""Stands where a text was cut."""


def fit(history: Sequence[Exchange], chars: int) -> list[Exchange]:
    """The newest exchanges that have room in so many characters, oldest first and without a hole.

    Only whole ones; but if not even the newest has room, its texts are cut in the middle.
    """
    kept: list[Exchange] = []
    left = chars
    for exchange in reversed(history):
        left -= size(exchange)
        if left < 0:
            break
        kept.append(exchange)
    if history and not kept:
        kept = [_cut_exchange(history[-1], chars)]
    return kept[::-1]


def size(exchange: Exchange) -> int:
    return len(exchange.text) + len(exchange.reply)


def pair(said: Iterable[tuple[str, str]]) -> list[Exchange]:
    """Exchanges of (role, text) as they were said: what the assistant says after a message is its reply."""
    exchanges: list[Exchange] = []
    for role, text in said:
        if role == "user":
            exchanges.append(Exchange(text, ""))
        elif role == "assistant" and text:
            last = exchanges.pop() if exchanges else Exchange("", "")
            exchanges.append(Exchange(last.text, f"{last.reply}\n\n{text}" if last.reply else text))
    return exchanges


def _cut_exchange(exchange: Exchange, chars: int) -> Exchange:
    """Each text has half of the room, and what the other one does not need."""
    for_reply = min(len(exchange.reply), max(chars // 2, chars - len(exchange.text)))
    return Exchange(cut(exchange.text, chars - for_reply), cut(exchange.reply, for_reply), exchange.author)


def cut(text: str, chars: int) -> str:
    """The beginning and the end of a text that is longer than ``chars``."""
    if len(text) <= chars:
        return text
    room = chars - len(CUT)
    if room < 2:  # noqa: PLR2004  # one character on each side
        return text[:chars]
    return text[: room - room // 2] + CUT + text[len(text) - room // 2 :]
