"""What Discord describes by ids, as far as it matters here: channels, threads and roles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from adapters.base.json_fields import Fields, id_in, object_in, text_in
from gateway.domain.context import clean_name
from gateway.domain.errors import MalformedRequest

SNOWFLAKE = re.compile(r"[0-9]{1,20}")
THREADS, CALLS = frozenset({10, 11, 12}), frozenset({2, 13})
"""Types of threads, and of voice and stage channels, whose chats have none:
docs.discord.com/developers/resources/channel#channel-object-channel-types"""


def id_of(fields: Fields, name: str = "id") -> str:
    """Returns an id; "" if there is none."""
    return id_in(fields, name, SNOWFLAKE)


def required_id(fields: Fields, name: str) -> str:
    """Returns an id. Raises MalformedRequest if there is none."""
    found = id_of(fields, name)
    if not found:
        raise MalformedRequest(f"The event has no {name}.")
    return found


def type_of(fields: Fields) -> int:
    """Returns the number of the type of a channel or a message; 0, an ordinary one, if there is none."""
    value = fields.get("type")
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class DiscordPlace:
    """A channel."""

    id: str
    guild: str = ""
    """Empty for a direct message."""
    parent: str = ""
    """Of a thread: the channel that it is in."""
    name: str = field(default="", compare=False)
    """Empty if it is not known."""
    has_threads: bool = field(default=True, compare=False)
    """Whether threads can be opened in it."""

    @property
    def channel_name(self) -> str:
        """Returns the name of a channel that is no thread."""
        name = clean_name(self.name)
        return f"#{name}" if name and self.guild and not self.parent else ""

    @classmethod
    def of(cls, channel: Fields, guild: str = "") -> DiscordPlace:
        """Reads a channel as Discord describes it."""
        kind = type_of(channel)
        is_thread, is_call = kind in THREADS, kind in CALLS
        return cls(
            id_of(channel),
            guild or id_of(channel, "guild_id"),
            id_of(channel, "parent_id") if is_thread else "",
            " ".join(text_in(channel, "name").split()),
            has_threads=not (is_thread or is_call),
        )


@dataclass(frozen=True, slots=True)
class DiscordRole:
    """docs.discord.com/developers/topics/permissions#role-object"""

    name: str = ""
    """Empty if it is not known."""
    bot: str = ""
    """The id of the user of the bot whose own role it is; empty for any other role."""

    @classmethod
    def of(cls, role: Fields) -> DiscordRole:
        """Reads a role as Discord describes it."""
        return cls(text_in(role, "name"), id_of(object_in(role, "tags"), "bot_id"))


NO_ROLE = DiscordRole()
