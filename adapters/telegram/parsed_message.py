"""A message of Telegram's, parsed: its text, its files, and whether it mentions the bot."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base.json_fields import Fields, object_in
from adapters.base.text_input import MENTIONED_ONLY, UNREADABLE
from adapters.telegram import message_entities, text_input
from adapters.telegram.attachments import files_of
from adapters.telegram.message_entities import BotIdentity, number_in
from adapters.telegram.text_input import Command
from gateway.domain.files import File


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    message: Fields
    me: BotIdentity
    own: str
    """The text of the message itself, without what it replies to."""
    files: tuple[File, ...]
    """Attached to the message itself."""
    command: Command | None
    mentions_bot: bool

    @classmethod
    def of(cls, message: Fields, me: BotIdentity) -> ParsedMessage:
        own, files = text_input.own(message, me), files_of(message)
        command = text_input.command_of(own) if _is_plain(message, files) else None
        mentions_bot = message_entities.mentions_bot(message, me) or (command is not None and command.is_to(me))
        return cls(message, me, own, files, command, mentions_bot)

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but text that its author wrote."""
        return _is_plain(self.message, self.files)

    @property
    def replies_to_bot(self) -> bool:
        """Whether it replies to a message of the bot's."""
        return number_in(object_in(text_input.replied_to(self.message), "from"), "id") == self.me.id

    @property
    def calls_others(self) -> bool:
        """Whether it is for somebody else, even if it replies to a message of the bot's."""
        return message_entities.calls_others(self.message, self.me)

    @property
    def in_channel_inbox(self) -> bool:
        """Whether it is a direct message to a channel. The bot does not answer there: such chats have other topics."""
        return bool(object_in(self.message, "chat").get("is_direct_messages"))

    @property
    def replied_to_files(self) -> tuple[File, ...]:
        """The files of the message that it replies to, unless that is the bot's own."""
        return () if self.replies_to_bot else files_of(text_input.replied_to(self.message))

    def text(self, help_wanted: str) -> str:
        """Returns all that it says, for an assistant; "" for one with files only.

        ``help_wanted``: what /help tells the assistant.
        """
        said = text_input.question(self.command, self.own, help_wanted)
        if not said and not self.files:
            said = MENTIONED_ONLY if self.mentions_bot else UNREADABLE
        context = text_input.context(
            self.message, [file.shown_name for file in files_of(text_input.replied_to(self.message))], self.me
        )
        return "\n\n".join(filter(None, [context, text_input.forwarded(self.message, said)]))


def _is_plain(message: Fields, files: tuple[File, ...]) -> bool:
    return not files and "forward_origin" not in message
