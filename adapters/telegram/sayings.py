"""One message of Telegram's, as it is said to us: in which words, with which files, and whether it calls us."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.telegram import words
from adapters.telegram.enclosed import files_of
from adapters.telegram.marks import Fields, Me, calls, number_in, object_in
from adapters.telegram.words import Command
from gateway.messages import File


@dataclass(frozen=True, slots=True)
class Saying:
    message: Fields
    me: Me
    own: str
    """What the message itself says."""
    files: tuple[File, ...]
    """What is attached to it."""
    command: Command | None
    called: bool
    """Whether we are named in it."""

    @classmethod
    def of(cls, message: Fields, me: Me) -> Saying:
        own, files = words.own(message, me), files_of(message)
        command = words.command_of(own) if _is_plain(message, files) else None
        called = calls(message, me) or (command is not None and command.is_to(me))
        return cls(message, me, own, files, command, called)

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but words, and those of its author."""
        return _is_plain(self.message, self.files)

    @property
    def answers_us(self) -> bool:
        """Whether it replies to something that we said."""
        return number_in(object_in(words.replied_to(self.message), "from"), "id") == self.me.id

    @property
    def in_direct_messages(self) -> bool:
        """Whether it is written to a channel: such chats have topics of another kind, in which we do not speak."""
        return bool(object_in(self.message, "chat").get("is_direct_messages"))

    @property
    def files_about(self) -> tuple[File, ...]:
        """The files of what it replies to; what we said ourselves is known."""
        return () if self.answers_us else files_of(words.replied_to(self.message))

    def text(self, help_wanted: str) -> str:
        """All of it, for an assistant; of one with files it may be nothing.

        ``help_wanted``: what a call for help says.
        """
        said = words.asked(self.command, self.own, help_wanted)
        if not said and not self.files:
            said = words.NOTHING_SAID if self.called else words.UNREADABLE
        about = words.context(self.message, [file.name for file in files_of(words.replied_to(self.message))], self.me)
        return "\n\n".join(filter(None, [about, words.forwarded(self.message, said)]))


def _is_plain(message: Fields, files: tuple[File, ...]) -> bool:
    return not files and "forward_origin" not in message
