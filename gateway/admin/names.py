"""What conversations and people are called on the pages: by their names where those are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.domain.bots import platform_of
from gateway.domain.conversations import Conversation
from gateway.domain.models import ConversationKey, Message
from gateway.ports.people import ChannelId, People, PersonId
from gateway.ports.reporting import ConversationSummary

SHORT_ID_CHARS = 6


@dataclass(frozen=True, slots=True)
class Names:
    """The names of people and channels that a page shows."""

    people: Mapping[PersonId, str] = field(default_factory=dict)
    channels: Mapping[ChannelId, str] = field(default_factory=dict)

    def person(self, platform: str, user: str) -> str:
        """Returns a person's name, else the id; empty for nobody. ``platform`` may be the name of a bot."""
        return self.people.get(PersonId(platform_of(platform), user)) or user

    def channel(self, platform: str, channel: str) -> str:
        """Returns a channel's name, else the id."""
        return self.channels.get(ChannelId(platform_of(platform), channel)) or channel

    def conversation(self, key: ConversationKey, author: str) -> str:
        """Returns the channel's name, else the person's, else the platform and the end of the channel's id.

        ``author``: who began it.
        """
        platform = platform_of(key.platform)
        channel = self.channels.get(ChannelId(platform, key.channel), "")
        person = self.people.get(PersonId(platform, key.user or author), "")
        if channel and key.user:
            return f"{channel}, {person or short_id(key.user)}"
        return channel or person or f"{key.platform} {short_id(key.channel or key.user)}"


def short_id(name: str) -> str:
    """Returns the end of an id, by which people tell ids apart."""
    return name if len(name) <= SHORT_ID_CHARS + 1 else f"…{name[-SHORT_ID_CHARS:]}"


def names_of(people: People, keys: Iterable[ConversationKey], authors: Iterable[tuple[str, str]]) -> Names:
    """Loads names. ``authors``: pairs of a platform or bot, and a user. Raises StoreUnavailable."""
    places = [(platform_of(key.platform), key) for key in keys]
    who = {PersonId(platform_of(platform), user) for platform, user in authors if user}
    who |= {PersonId(platform, key.user) for platform, key in places if key.user}
    where = {ChannelId(platform, key.channel) for platform, key in places if key.channel}
    return Names(people.names_of(who), people.channel_names(where))


def names_in_list(people: People, found: Sequence[ConversationSummary]) -> Names:
    """Loads the names for a list of conversations. Raises StoreUnavailable."""
    keys = [each.conversation.key for each in found]
    return names_of(people, keys, [(each.conversation.key.platform, each.first_author) for each in found])


def names_in_transcript(people: People, conversation: Conversation, messages: Iterable[Message]) -> Names:
    """Loads the names for one conversation. Raises StoreUnavailable."""
    return names_of(people, [conversation.key], [(each.key.platform, each.author) for each in messages])
