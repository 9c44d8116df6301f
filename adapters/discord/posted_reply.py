"""What is posted of a turn's reply in Discord, and the strings that save it with the turn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapters.base.posted_reply import PostedReply

BY_TOKEN, DELETED = "@", "deleted:"
"""Prefixes of saved entries: of a message posted by an interaction's token, and of how many messages were deleted."""


class Buttons(StrEnum):
    """What is below a message."""

    NONE = ""
    STOP = "stop"
    FEEDBACK = "feedback"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class DiscordContent:
    """What one message shows."""

    text: str
    buttons: Buttons = Buttons.NONE


@dataclass(slots=True, eq=False)
class DiscordMessage:
    id: str
    by_token: bool = False
    """Whether it was posted by the token of an interaction, by which it can be changed."""
    shown: DiscordContent | None = None
    """None: not known."""


@dataclass(eq=False)
class DiscordReply(PostedReply[DiscordMessage]):
    """See the base class."""

    place: str = ""
    """The channel or thread in which it is posted; "" until that is known."""
    deleted: int = 0
    """How many of our messages do not exist any more. The nonces of those that are posted after them must differ."""
    in_doubt: bool = False
    """Whether something may be posted that is not recorded."""
    follow_up_in_doubt: bool = False
    """Whether it may be so posted by the token of an interaction that nothing recognises it."""

    def restore_message(self, entry: str) -> None:
        if entry.startswith(DELETED):
            self.deleted = int(entry.removeprefix(DELETED))
            return
        self.place, _, number = entry.removeprefix(BY_TOKEN).partition("/")
        self.messages.append(DiscordMessage(number, by_token=entry.startswith(BY_TOKEN)))

    def message_entries(self) -> list[str]:
        deleted = [f"{DELETED}{self.deleted}"] if self.deleted else []
        return [f"{BY_TOKEN if each.by_token else ''}{self.place}/{each.id}" for each in self.messages] + deleted
