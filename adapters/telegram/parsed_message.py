"""A message of Telegram's, parsed: its text, its files, and whether it mentions the bot."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.base.json_fields import Fields, id_in, object_in
from adapters.base.text_input import MENTIONED_ONLY, UNREADABLE
from adapters.telegram import message_entities, text_input
from adapters.telegram.attachments import files_of
from adapters.telegram.message_entities import BotIdentity, number_in
from adapters.telegram.text_input import Command
from gateway.domain.files import File

ID = re.compile(r"[A-Za-z0-9_\-]{1,80}")
"""Ids of business connections and albums; one of each fits into a message id."""


def number_of(fields: Fields, name: str) -> str:
    """Returns a number as text, for keys and addresses; "" if there is none. Telegram does not use 0."""
    return str(number_in(fields, name) or "")


def id_of(fields: Fields, name: str) -> str:
    """Returns an id; "" if there is none."""
    return id_in(fields, name, ID)


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    message: Fields
    me: BotIdentity
    own: str
    """The text of the message itself, without what it replies to."""
    files: tuple[File, ...]
    """Attached to the message itself."""
    command: Command | None
    """None also for the caption of a file: there a command only calls upon the bot that it names."""
    mentions_bot: bool

    @classmethod
    def of(cls, message: Fields, me: BotIdentity) -> ParsedMessage:
        own, files = text_input.own(message, me), files_of(message)
        command = None if "forward_origin" in message else text_input.command_of(own)
        mentions_bot = message_entities.calls_bot(message, me)
        if command is not None and command.is_to(me):
            own, mentions_bot = command.without_bot if files else own, True
        return cls(message, me, own, files, None if files else command, mentions_bot)

    @property
    def own_command(self) -> Command | None:
        """The command, unless it names another bot."""
        return self.command if self.mentions_bot or not (self.command and self.command.to) else None

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but text that its author wrote."""
        return not self.files and "forward_origin" not in self.message

    @property
    def album(self) -> str:
        """The id of the album that it is an item of; "" if it is of none."""
        return id_of(self.message, "media_group_id") if self.files else ""

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
        said = text_input.question(self.own_command, self.own, help_wanted)
        if not said and not self.files:
            said = MENTIONED_ONLY if self.mentions_bot else UNREADABLE
        context = text_input.context(
            self.message, [file.shown_name for file in files_of(text_input.replied_to(self.message))], self.me
        )
        return "\n\n".join(filter(None, [context, text_input.forwarded(self.message, said)]))
