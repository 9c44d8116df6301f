"""What is posted at Telegram of the reply to one turn.

A bot cannot read a chat's history: a message that is not saved cannot be found again. So whatever must not be sent
twice is announced by a saved entry before it is sent, and named by another one after it.

"17"             a message, by its id
"again:17"       one that begins with a line that it may be a repetition
"sending"        last of all messages: one more is being sent, or was when its sender stopped
"sending again"  the same for the second time
"again:?"        one that was sent twice, and no answer came either time
"chat:-100"      what follows was posted in this chat, as the group became another
"file:..."       the same for a file, after all messages; and "file:?"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapters.base.posted_reply import PostedReply
from adapters.telegram.formatter import FormattedText

CHAT, AGAIN, UNKNOWN = "chat:", "again:", "?"


class SendState(StrEnum):
    """Whether there may be one more message or file than is recorded."""

    KNOWN = ""
    SENDING = "sending"
    SENDING_AGAIN = "sending again"


UNANSWERED = frozenset({SendState.SENDING, SendState.SENDING_AGAIN})


@dataclass(slots=True, eq=False)
class TelegramMessage:
    """A message of ours that shows a part of the reply."""

    chat: str
    message_id: int
    """0: not known, and so out of reach."""
    again: bool = False
    """Whether it begins with the line of a repetition."""
    shown: FormattedText | None = None
    """None: not known."""

    @property
    def entry(self) -> str:
        return f"{AGAIN if self.again else ''}{self.message_id or UNKNOWN}"


@dataclass(slots=True, eq=False)
class PendingSend:
    """What comes after all that is recorded."""

    state: SendState = SendState.KNOWN


@dataclass(eq=False)
class TelegramReply(PostedReply[TelegramMessage]):
    """A reply at Telegram."""

    first_chat: str = ""
    """Where the reply began."""
    chat: str = ""
    """Where it continues."""
    next_message: PendingSend = field(default_factory=PendingSend)
    next_file: PendingSend = field(default_factory=PendingSend)

    def __post_init__(self) -> None:
        self.chat = self.first_chat

    def restore_message(self, entry: str) -> None:
        if entry.startswith(CHAT):
            self.chat = entry.removeprefix(CHAT)
        elif entry in UNANSWERED:
            self.next_message.state = SendState(entry)
        else:
            number = entry.removeprefix(AGAIN)
            message_id = 0 if number == UNKNOWN else int(number)
            self.messages.append(TelegramMessage(self.chat, message_id, again=entry.startswith(AGAIN)))

    def restore_file(self, entry: str) -> None:
        if entry in UNANSWERED:
            self.next_file.state = SendState(entry)
        else:
            self.files.append(entry)

    def message_entries(self) -> list[str]:
        entries, chat = [], self.first_chat
        for message in self.messages:
            if message.chat != chat:
                entries.append(f"{CHAT}{(chat := message.chat)}")
            entries.append(message.entry)
        if self.chat != chat:
            entries.append(f"{CHAT}{self.chat}")
        return [*entries, *filter(None, [self.next_message.state.value])]

    def file_entries(self) -> list[str]:
        return [*self.files, *filter(None, [self.next_file.state.value])]

    @property
    def moved(self) -> bool:
        """Whether the reply continues in another chat than the one in which it began."""
        return self.chat != self.first_chat

    def is_fixed(self, message: TelegramMessage) -> bool:
        """Returns whether a message cannot be changed any more."""
        return not message.message_id or message.chat != self.chat

    @property
    def unconfirmed(self) -> int:
        """How many messages and files may be missing."""
        return sum(not message.message_id for message in self.messages) + self.files.count(UNKNOWN)


def looks_like(one: FormattedText | None, other: FormattedText | None) -> bool:
    """Returns whether people see the same, as far as it is known."""
    if one is None or other is None:
        return False
    # The library's entities are equal also when they have different URLs.
    same = (one.text.rstrip(), one.buttons) == (other.text.rstrip(), other.buttons)
    return same and [entity.to_dict() for entity in one.entities] == [entity.to_dict() for entity in other.entities]
