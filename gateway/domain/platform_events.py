"""What happens on a platform besides a new message."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.models import TurnId


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """A person edited a message."""

    platform: str
    message_id: str
    """As ``Message.own_id``."""
    text: str


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """A person deleted a message, or it is no longer said to the bot."""

    platform: str
    message_id: str
    as_part: bool = True
    """Whether it withdraws the turn of another message, too, if it has joined that."""


@dataclass(frozen=True, slots=True)
class ChannelMigrated:
    """The platform changed a channel's id: its conversations continue under the new id."""

    platform: str
    workspace: str
    channel: str
    new_channel: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """A person's rating of a reply, as the platform names it. A newer rating by the same person replaces the older."""

    turn_id: TurnId
    author: str
    value: str
