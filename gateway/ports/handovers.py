"""The interface to the database for what operators see of handovers: conversations in which a person answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.conversations import Conversation
from gateway.domain.models import Turn

BROUGHT = "handover:"
"""How ``Message.message_id`` of what is brought to the channel of the staff begins; one of these names follows."""
INTRODUCTION = "root"
HAND_OVER_TEXT = "/human"
"""What a turn says that hands a conversation over without a reason."""


INTRODUCTIONS = 12
"""How often the topic of a handover is begun at most, if its platform refuses it."""


def introduction_name(conversation_id: int, seq: int, number: int = 1) -> str:
    """Names the message that begins the topic of a handover, and quotes what was said before.

    ``number``: which one it is, as the platform refused those before it.
    """
    return f"{INTRODUCTION}:{conversation_id}:{seq}" + ("" if number == 1 else f":{number}")


def said_name(turn_id: str) -> str:
    """Names the message that shows what was said in a turn."""
    return f"said:{turn_id}"


@dataclass(frozen=True, slots=True)
class HandoverRecord:
    """One handover of a conversation, open or ended. Times are seconds since the epoch by the database's clock."""

    conversation_id: int
    seq: int
    """The seq of the turn that began it."""
    since: float
    by: str
    """Who asked for it: ``Message.sender`` of that turn."""
    reason: str
    """Empty if none was given, or when it is erased."""
    ended_at: float | None = None
    """When the conversation was given back; None: a person answers there now."""
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class OpenHandover:
    """A conversation in which a person answers now."""

    record: HandoverRecord
    conversation: Conversation
    age_seconds: float = 0.0
    """For how long already."""
    newest_seq: int = 0
    """The seq of the conversation's newest turn."""


class Handovers(Protocol):
    """The stored handovers. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    They begin and end with turns: ``Store.enqueue_all`` stores one with a message of kind HAND_OVER, in the same
    transaction, and ``GiveBack`` ends it.
    """

    def listed_open(
        self, limit: int, *, older_than: float = 0.0, after: OpenHandover | None = None
    ) -> Sequence[OpenHandover]:
        """Returns those that are open, and have been for so many seconds, the oldest first.

        ``after``: only those behind this one. ``older_than`` 0: also those that began in the future, as the clock was
        set back.
        """
        ...

    def introduced(self, platform: str) -> Sequence[tuple[OpenHandover, Turn]]:
        """Returns all that are open and have begun a topic on a platform, each with the turn of ``introduction_name``.

        The oldest first. One whose platform refused it may be there several times, the newest turn last.
        """
        ...

    def count_open(self) -> int:
        """Returns in how many conversations a person answers now."""
        ...

    def of_conversation(self, conversation_id: int, limit: int = 20) -> Sequence[HandoverRecord]:
        """Returns the handovers of a conversation, the newest first."""
        ...
