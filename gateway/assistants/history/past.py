"""What of a conversation's past goes to the server: learned from its refusals, and kept for the next turns."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.assistants.errors.error_map import InputTooLong
from gateway.assistants.history.exchanges import cut_middle, exchange_chars, fit_history
from gateway.assistants.json_fields import as_text
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError
from gateway.domain.exchange import Exchange

MAX_REMEMBERED = 10_000
"""Conversations, and exchanges, that one process remembers something of."""


MIN_PAST_CHARS = 100
MIN_OUTPUT_CHARS = 1_000
"""A shorter past is left out, a shorter output of a tool is not cut."""


LONG_PAST_CHARS = 4_000
MAX_UNKNOWN_REFUSALS = 2
"""An unknown refusal of a request with a longer past is tried so often with a shorter one."""


class FittedSizes:
    """The size of input, in characters, that fitted the model, for each conversation whose past was too long."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def limit(self, thread_id: str, max_chars: int, message_chars: int) -> int:
        """Returns how many characters of history go with a message, at most ``max_chars``."""
        size = self._sizes.get(thread_id)
        return max_chars if size is None else min(max_chars, max(size - message_chars, 0))

    def note(self, thread_id: str, size: int) -> None:
        _remember(self._sizes, thread_id, size)


class FilteredExchanges:
    """Exchanges that a content filter refused as a part of the past: they are left out from then on."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, int] = OrderedDict()

    def without(self, history: Iterable[Exchange]) -> list[Exchange]:
        if not self._known:
            return list(history)
        return [exchange for exchange in history if digest(exchange) not in self._known]

    def add(self, exchanges: Iterable[Exchange]) -> None:
        for exchange in exchanges:
            _remember(self._known, digest(exchange), 0)

    def discard(self, exchanges: Iterable[Exchange]) -> None:
        for exchange in exchanges:
            self._known.pop(digest(exchange), None)


@dataclass
class PastOfTurn:
    """The history that goes with one message, as the server takes it."""

    whole: list[Exchange]
    """The history that the turn began with."""
    exchanges: list[Exchange] = field(init=False)
    """What of it is sent now."""
    filter_refusals: int = 0
    unknown_refusals: int = 0
    too_long: bool = False
    """Whether it was too long for the server."""

    def __post_init__(self) -> None:
        self.exchanges = self.whole

    @property
    def chars(self) -> int:
        return sum(map(exchange_chars, self.exchanges))

    @property
    def left_out(self) -> list[Exchange]:
        """What was left out because of a filter."""
        return [one for one in self.whole if one not in self.exchanges] if self.filter_refusals else []

    def shorten(self, error: AssistantError) -> bool:
        """Shortens it after a refusal: until nothing is left, or twice if the error is not known to be about the size.

        Returns whether it is shorter now.
        """
        if isinstance(error, InputTooLong):
            was_long, self.exchanges = bool(self.exchanges), shorter_past(self.exchanges)
            self.too_long = self.too_long or was_long
            return was_long
        if self.unknown_refusals >= MAX_UNKNOWN_REFUSALS or sum(map(exchange_chars, self.whole)) < LONG_PAST_CHARS:
            return False
        self.unknown_refusals += 1
        self.exchanges = shorter_past(self.exchanges) if self.unknown_refusals == 1 else []
        return True

    def leave_out_filtered(self) -> bool:
        """Leaves a part out, as what trips a filter may be there. Returns whether there was one to leave out."""
        without = exchanges_to_leave_out(self.whole, self.filter_refusals)
        if not without or not self.exchanges:
            return False
        self.filter_refusals += 1
        self.exchanges = [one for one in self.whole if one not in without]
        return True


def exchanges_to_leave_out(history: Sequence[Exchange], tried: int) -> Sequence[Exchange]:
    """Returns which exchanges to leave out when a filter refuses the past once more; empty: none is left to try.

    The newest first, because what was before it passed the filter in an earlier turn; then each half; then all.
    """
    half = len(history) // 2
    choices = (history[-1:], history[half:], history[:half], history)
    return choices[tried] if tried < len(choices) else ()


def shorter_past(history: Sequence[Exchange]) -> list[Exchange]:
    """Returns the newer half of a past that is too long, and none of it once that is not worth a request."""
    half = sum(map(exchange_chars, history)) // 2
    return fit_history(history, half) if half >= MIN_PAST_CHARS else []


def shorter_outputs(messages: Sequence[Json]) -> list[Json] | None:
    """Returns the messages of tool rounds with the longest output cut to a quarter; None if all are short.

    No message is left out: a call and its output belong together.
    """
    sizes = {place: len(as_text(one.get("content"))) for place, one in enumerate(messages) if one["role"] == "tool"}
    longest = max(sizes, key=lambda place: sizes[place], default=None)
    if longest is None or sizes[longest] < MIN_OUTPUT_CHARS:
        return None
    shorter = {**messages[longest], "content": cut_middle(messages[longest]["content"], sizes[longest] // 4)}
    return [*messages[:longest], shorter, *messages[longest + 1 :]]


def _remember(store: OrderedDict[str, int], key: str, value: int) -> None:
    store[key] = value
    store.move_to_end(key)
    if len(store) > MAX_REMEMBERED:
        store.popitem(last=False)


def digest(exchange: Exchange) -> str:
    return hashlib.sha256(f"{exchange.text}\0{exchange.reply}".encode(errors="replace")).hexdigest()
