"""Keeps album items that came before the item that opens their turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from gateway.domain.joined_text import appended
from gateway.domain.models import Message

KEEP_SECONDS = 5.0
MOST_ALBUMS = 1000
"""More are not kept at once: most albums in a group are not for the bot."""

AlbumName = tuple[str, str]
"""Platform and message id."""


class EarlyItems:
    """In the memory of the process that received them, for a few seconds. On one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[AlbumName, tuple[float, list[Message]]] = {}
        """By album, in order of arrival: the time of the first item, and the items."""

    def keep(self, item: Message) -> None:
        """Keeps an item that may not start a conversation."""
        self._drop_old()
        if len(self._kept) < MOST_ALBUMS or _name(item) in self._kept:
            self._kept.setdefault(_name(item), (self._clock(), []))[1].append(item)

    def join(self, opener: Message, as_left: Callable[[Message], Message | None]) -> Message:
        """Returns the item that opens the turn, with those that came before it; they are kept no longer.

        ``as_left``: returns an item as its author has left it; None if they have deleted it.
        """
        self._drop_old()
        _, kept = self._kept.pop(_name(opener), (0.0, []))
        items = list(filter(None, map(as_left, kept)))
        text, parts = "", list[tuple[str, int]]()
        for item in (*items, opener):
            begins, text = appended(text, item.text)
            parts.append((item.own_id, begins))
        files = tuple(file for item in (*items, opener) for file in item.files)
        return replace(opener, text=text, files=files, album_parts=tuple(parts))

    def _drop_old(self) -> None:
        oldest = self._clock() - KEEP_SECONDS
        while self._kept and next(iter(self._kept.values()))[0] < oldest:
            del self._kept[next(iter(self._kept))]


def _name(item: Message) -> AlbumName:
    return item.key.platform, item.message_id
