"""Keeps who writes and how they are called, and learns whom operators have blocked, beside the turns."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from gateway.coordination.async_store import AsyncStore
from gateway.coordination.retry import repeat_all
from gateway.domain.bots import platform_of
from gateway.domain.models import Message, Turn
from gateway.policy.block_list import BlockList
from gateway.ports.blocks import Blocks
from gateway.ports.people import ChannelId, People, PersonId, Sighting
from gateway.ports.platform import KnownNames

BLOCKS_SECONDS = 1.0
NOTE_SECONDS = 2.0
"""How often people are stored who were not stored just before."""
KNOWN_SECONDS = 60.0
"""For which somebody who was stored is not stored again, unless something is new about them."""
MAX_KNOWN = 20_000

K = TypeVar("K")
V = TypeVar("V")


class PeopleRecorder:
    """Collects in memory what messages tell of people and channels. Used on the worker's loop only.

    What was collected in the last two seconds is lost when the process dies.
    """

    def __init__(self, store: AsyncStore, people: People, blocks: Blocks, block_list: BlockList) -> None:
        self._store = store
        self._people = people
        self._blocks = blocks
        self._block_list = block_list
        self._seen: dict[PersonId, Sighting] = {}
        self._named: dict[ChannelId, str] = {}
        self._known_people: _RecentlyStored[PersonId, Sighting] = _RecentlyStored()
        self._known_channels: _RecentlyStored[ChannelId, str] = _RecentlyStored()

    async def run(self) -> None:
        """Stores and reads until it is cancelled."""
        await repeat_all(
            (
                (self.refresh_blocks, BLOCKS_SECONDS, "blocked people not read"),
                (self.flush, NOTE_SECONDS, "people not stored"),
            )
        )

    def note(self, message: Message) -> None:
        """Takes note of who wrote a message, and where. No I/O."""
        self._note(message, message.author_name, message.channel_name)

    def learn(self, turn: Turn, names: KnownNames) -> None:
        """Takes note of the names behind a turn. No I/O."""
        if names.author or names.channel:
            self._note(turn.message, names.author, names.channel)

    def _note(self, message: Message, author_name: str, channel_name: str) -> None:
        key, platform = message.key, platform_of(message.key.platform)
        if message.author and not message.is_pushed:  # of the staff: its author is the person who is answered
            person = PersonId(platform, message.author)
            before = self._seen.get(person)
            name = author_name or (before.name if before else "")
            self._seen[person] = Sighting(person, name, key.platform, key.workspace, is_claimed=message.is_claimed)
        if channel_name and key.channel:
            self._named[ChannelId(platform, key.channel)] = channel_name

    async def may_tell(self, message: Message) -> bool:
        """Returns whether the author of a message that was refused is to be told: once for each block.

        Raises StoreUnavailable.
        """
        person = self._block_list.find(message)
        return person is not None and await self._store.call(lambda _: self._blocks.try_tell(person))

    async def refresh_blocks(self) -> None:
        """Stores how many messages were refused, and reads who is blocked. Raises StoreUnavailable."""
        await self._store.call(lambda _: self._block_list.refresh(self._blocks))

    async def flush(self) -> None:
        """Stores what was collected and is not known to be stored. Raises StoreUnavailable."""
        now = time.monotonic()
        seen, named = self._take_new_people(now), self._take_new_channels(now)
        if seen or named:
            await self._store.call(lambda _: self._people.note(seen, named))

    def _take_new_people(self, now: float) -> Collection[Sighting]:
        seen, self._seen = self._seen, {}
        self._known_people.forget(now)
        new = []
        for person, sighting in seen.items():
            known = self._known_people.get(person)
            named = replace(sighting, name=sighting.name or (known.name if known else ""))
            if named != known:
                self._known_people.set(person, named, now)
                new.append(named)
        return new

    def _take_new_channels(self, now: float) -> Mapping[ChannelId, str]:
        named, self._named = self._named, {}
        self._known_channels.forget(now)
        new = {channel: name for channel, name in named.items() if self._known_channels.get(channel) != name}
        for channel, name in new.items():
            self._known_channels.set(channel, name, now)
        return new


class _RecentlyStored(Generic[K, V]):
    """What was stored within KNOWN_SECONDS; beyond MAX_KNOWN, all is forgotten."""

    def __init__(self) -> None:
        self._values: dict[K, tuple[V, float]] = {}

    def get(self, key: K) -> V | None:
        found = self._values.get(key)
        return None if found is None else found[0]

    def set(self, key: K, value: V, now: float) -> None:
        self._values[key] = value, now + KNOWN_SECONDS

    def forget(self, now: float) -> None:
        kept = len(self._values) <= MAX_KNOWN
        self._values = {key: each for key, each in self._values.items() if each[1] > now} if kept else {}
