"""The interface to the database for who writes: people and channels with their names, and what people use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class PersonId(NamedTuple):
    """A person on a platform; the same for all bots there. A tuple, as it is looked up for each message."""

    platform: str
    """Without the name of a bot."""
    user: str
    """As in ``Message.author``."""

    def __str__(self) -> str:
        return f"{self.platform}:{self.user}"


class ChannelId(NamedTuple):
    """A channel on a platform; the same for all bots there. A tuple, as it is looked up for each message."""

    platform: str
    """Without the name of a bot."""
    channel: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """That a person wrote just now."""

    person: PersonId
    name: str = ""
    """How others see them; empty: not known, which keeps the name that is stored."""
    bot: str = ""
    """To which bot: ``ConversationKey.platform``."""
    workspace: str = ""
    is_claimed: bool = False
    """Whether only the caller says who it is."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has written."""

    id: PersonId
    name: str
    """Empty if it is not known."""
    bot: str
    """The bot and the workspace where they wrote last."""
    workspace: str
    is_claimed: bool
    first_at: float
    """When they were seen first and last: seconds since the epoch, within some seconds."""
    last_at: float


class PeopleOrder(StrEnum):
    """By what the people who use most are found."""

    TURNS = "turns"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class PersonUsage:
    """The turns of a person that were received since some time."""

    turns: int = 0
    failed: int = 0
    """Including those with replies that could not be delivered."""
    tokens: int = 0
    cost: int = 0
    """In millionths of the currency."""


class People(Protocol):
    """People and channels. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def note(self, people: Collection[Sighting], channels: Mapping[ChannelId, str]) -> None:
        """Stores who wrote just now, and the names of channels. Each person is in ``people`` once."""
        ...

    def get(self, person: PersonId) -> Person | None: ...

    def find(self, text: str, platform: str, *, limit: int, before: Person | None = None) -> Sequence[Person]:
        """Returns people who were seen before ``before`` was, last seen first.

        ``text``: a part of the name or id, ignoring case; ``platform``: exactly. Empty ones match all.
        """
        ...

    def usage_of(self, people: Collection[PersonId], since: float) -> Mapping[PersonId, PersonUsage]:
        """Returns the usage of these people since a time. Those without turns are left out."""
        ...

    def top(self, order: PeopleOrder, since: float, limit: int) -> Mapping[PersonId, PersonUsage]:
        """Returns the usage of those who had most turns, or cost most, since a time; the most first.

        Reads all turns since then.
        """
        ...

    def names_of(self, people: Collection[PersonId]) -> Mapping[PersonId, str]:
        """Returns the names that are known."""
        ...

    def channel_names(self, channels: Collection[ChannelId]) -> Mapping[ChannelId, str]:
        """Returns the names that are known."""
        ...

    def erase(self, person: PersonId) -> bool:
        """Deletes a person's name and when they were seen. A block stays. Returns whether there was anything."""
        ...

    def erase_older_than(self, age_seconds: float) -> int:
        """Deletes people who were last seen, and channels last named, so long ago; returns how many people."""
        ...
