"""What stands at Telegram of the reply to one turn, as far as this process knows, and how that is noted.

Nobody can look into a chat: what is not noted is lost sight of. So whatever must not be sent twice is announced by a
note before it is sent, and named by another one after it.

"17"             a message, by its id
"again:17"       one that begins with a line that it may be the second of its kind
"sending"        behind all messages: one more is being sent, or was when its sender lost sight of it
"sending again"  the same for the second time
"again:?"        one that was sent twice, and no answer came either time
"chat:-100"      what follows stands in this chat, as the group became another
"file:..."       the same for a file, behind all messages; and "file:?"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from adapters.telegram.text import Rendered

CHAT, FILE, AGAIN, UNKNOWN = "chat:", "file:", "again:", "?"


class Doubt(StrEnum):
    """Whether there may be one more than is known."""

    NONE = ""
    ONCE = "sending"
    TWICE = "sending again"


@dataclass(slots=True, eq=False)
class Part:
    """A message of ours that shows a piece of the reply."""

    chat: str
    message: int
    """0: not known, and so out of reach."""
    again: bool = False
    """Whether it begins with the line of one that is sent again."""
    shown: Rendered | None = None
    """None: not known."""

    @property
    def note(self) -> str:
        return f"{AGAIN if self.again else ''}{self.message or UNKNOWN}"


@dataclass(slots=True, eq=False)
class Next:
    """What comes behind all that is known."""

    doubt: Doubt = Doubt.NONE


@dataclass(eq=False)
class Standing:
    chat: str
    """Where the reply goes on."""
    parts: list[Part] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """A note for each of the turn's files that is there, in their order."""
    next_part: Next = field(default_factory=Next)
    next_file: Next = field(default_factory=Next)
    fetched: int = 0
    """How often the next file was fetched in vain."""
    moved: bool = False
    """Whether the chat is another than the one in which the message came."""

    @classmethod
    def of(cls, chat: str, notes: Sequence[str]) -> Standing:
        """From what was noted, for a reply that began in ``chat``."""
        standing = cls(chat)
        for note in notes:
            standing._read(note)
        return standing

    def _read(self, note: str) -> None:
        if note.startswith(CHAT):
            self.move(note.removeprefix(CHAT))
        elif note.startswith(FILE):
            self._read_file(note.removeprefix(FILE))
        elif note in (Doubt.ONCE, Doubt.TWICE):
            self.next_part.doubt = Doubt(note)
        else:
            number = note.removeprefix(AGAIN)
            known = 0 if number == UNKNOWN else int(number)
            self.parts.append(Part(self.chat, known, again=note.startswith(AGAIN)))

    def _read_file(self, note: str) -> None:
        if note in (Doubt.ONCE, Doubt.TWICE):
            self.next_file.doubt = Doubt(note)
        else:
            self.files.append(note)

    def move(self, to: str) -> None:
        """What was said stays where it is; the rest goes elsewhere."""
        self.chat, self.moved = to, True

    def fixed(self, part: Part) -> bool:
        """Whether it can be changed no more."""
        return not part.message or part.chat != self.chat

    @property
    def unconfirmed(self) -> int:
        """How many messages and files may be missing."""
        return sum(not part.message for part in self.parts) + self.files.count(UNKNOWN)

    def notes(self, first: str) -> list[str]:
        """``first``: the chat in which the reply began."""
        said, chat = [], first
        for part in self.parts:
            if part.chat != chat:
                said.append(f"{CHAT}{(chat := part.chat)}")
            said.append(part.note)
        if self.chat != chat:
            said.append(f"{CHAT}{self.chat}")
        said += filter(None, [self.next_part.doubt.value])
        return [*said, *(f"{FILE}{note}" for note in filter(None, [*self.files, self.next_file.doubt.value]))]


def alike(one: Rendered | None, other: Rendered | None) -> bool:
    """Whether people see the same, as far as it is known."""
    if one is None or other is None:
        return False
    # An entity of the library's is equal to one with another address.
    return one.text.rstrip() == other.text.rstrip() and [entity.to_dict() for entity in one.entities] == [
        entity.to_dict() for entity in other.entities
    ]
