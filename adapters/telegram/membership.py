"""What became of the bot in a chat: somebody brought it in, threw it out, blocked it or took it back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapters.telegram.marks import Fields, number_in, object_in

GONE = ("left", "kicked")
"""core.telegram.org/bots/api#chatmember"""


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"


@dataclass(frozen=True, slots=True)
class Membership:
    chat: str
    change: Change
    user: str
    """Who did it."""


def membership_of(update: Fields) -> Membership | None:
    """None when an update tells nothing of the kind, as when the bot only has other rights than before."""
    told = object_in(update, "my_chat_member")
    chat, user = object_in(told, "chat"), object_in(told, "from")
    was, is_now = (_is_in(object_in(told, f"{when}_chat_member")) for when in ("old", "new"))
    chat_id = number_in(chat, "id")
    if chat_id is None or was == is_now:
        return None
    private = chat.get("type") == "private"
    came, went = (Change.UNBLOCKED, Change.BLOCKED) if private else (Change.ADDED, Change.REMOVED)
    return Membership(str(chat_id), came if is_now else went, str(number_in(user, "id") or ""))


def _is_in(member: Fields) -> bool:
    """One that is restricted may be out, and still be restricted when it comes back."""
    status = member.get("status")
    return status is not None and status not in GONE and (status != "restricted" or member.get("is_member") is True)
