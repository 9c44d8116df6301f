"""Whom operators have blocked, as one process knows it. It asks the database anew within about a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.domain.bots import platform_of
from gateway.domain.models import Message
from gateway.policy.rules import folded_name, user_name
from gateway.ports.blocks import Blocks
from gateway.ports.people import PersonId


class BlockList:
    """The blocked people in memory. ``find`` and ``refuse`` do no I/O and are called on the worker's loop."""

    def __init__(self) -> None:
        self._blocked: frozenset[PersonId] = frozenset()
        self._folded: Mapping[PersonId, PersonId] = {}
        """By their names as callers may write them."""
        self._version: str | None = None
        self._refused: Counter[PersonId] = Counter()

    def find(self, message: Message) -> PersonId | None:
        """Returns the author of a message if they are blocked; None if not."""
        if not self._blocked or not message.author:
            return None
        person = PersonId(platform_of(message.key.platform), user_name(message))
        if message.caller:
            return self._folded.get(person)
        return person if person in self._blocked else None

    def refuse(self, message: Message) -> bool:
        """Returns whether the author of a message is blocked; if so, counts that it was refused."""
        person = self.find(message)
        if person is not None:
            self._refused[person] += 1
        return person is not None

    def refresh(self, blocks: Blocks) -> None:
        """Stores what was counted, and reads the blocks if they have changed. Any thread; does I/O.

        Raises StoreUnavailable.
        """
        refused, self._refused = self._refused, Counter()
        if refused:
            blocks.count_refused(refused)
        version = blocks.version()
        if version != self._version:
            self._blocked = frozenset(each.person for each in blocks.listed())
            self._folded = {PersonId(each.platform, folded_name(each.user)): each for each in self._blocked}
            self._version = version
