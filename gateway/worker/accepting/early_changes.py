"""Keeps edits and deletions that came before their message, which a platform may send again minutes later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from gateway.domain.models import Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited

KEEP_SECONDS = 400.0
"""A platform sends again what was not acknowledged for some five minutes."""
MOST_CHANGES = 500
"""More are not kept at once, the oldest go: most messages in a channel are not for the bot."""

MessageName = tuple[str, str]
"""Platform and message id."""


class EarlyChanges:
    """In the memory of the process that received them, for some minutes. On one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[MessageName, tuple[float, MessageEdited | MessageDeleted]] = {}
        """The newest change of each message, in order of arrival, and when it came."""

    def keep(self, change: MessageEdited | MessageDeleted) -> None:
        """Keeps a change of a message, whether that is known or not."""
        name = change.platform, change.message_id
        self._kept.pop(name, None)
        self._kept[name] = self._clock(), change
        while len(self._kept) > MOST_CHANGES or self._is_old(next(iter(self._kept))):
            del self._kept[next(iter(self._kept))]

    def applied_to(self, message: Message) -> Message | None:
        """Returns a message as its author has left it; None if they have deleted it."""
        name = message.key.platform, message.own_id
        if name not in self._kept or self._is_old(name):
            return message
        change = self._kept[name][1]
        if isinstance(change, MessageDeleted):
            return None
        return replace(message, text=change.text) if message.kind is MessageKind.PROMPT else message

    def _is_old(self, name: MessageName) -> bool:
        return self._kept[name][0] < self._clock() - KEEP_SECONDS
