"""What is posted of a turn's reply in Discord, and the strings that save it with the turn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapters.base.posted_reply import PostedReply

PLACE, ORIGINAL = "in:", "@"
"""Prefixes of saved entries: the channel in which the reply is posted, and a message that answers an interaction."""


class Buttons(StrEnum):
    """What is below a message."""

    NONE = ""
    STOP = "stop"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class DiscordContent:
    """What one message shows."""

    text: str
    buttons: Buttons = Buttons.NONE


@dataclass(slots=True, eq=False)
class DiscordMessage:
    id: str
    original: bool = False
    """Whether it is the answer to an interaction, which can be changed by the interaction's token."""
    shown: DiscordContent | None = None
    """None: not known."""


@dataclass(eq=False)
class DiscordReply(PostedReply[DiscordMessage]):
    """See the base class."""

    place: str = ""
    """The channel or thread in which it is posted; "" until that is known."""
    in_doubt: bool = False
    """Whether something may be posted that is not recorded."""

    def restore_message(self, entry: str) -> None:
        if entry.startswith(PLACE):
            self.place = entry.removeprefix(PLACE)
        else:
            self.messages.append(DiscordMessage(entry.removeprefix(ORIGINAL), original=entry.startswith(ORIGINAL)))

    def message_entries(self) -> list[str]:
        place = [f"{PLACE}{self.place}"] if self.place else []
        return place + [f"{ORIGINAL if each.original else ''}{each.id}" for each in self.messages]
