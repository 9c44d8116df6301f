"""What a message in Slack says, and with which files. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base.json_fields import Fields, objects_in, text_in
from adapters.base.text_input import MENTIONED_ONLY, UNREADABLE
from adapters.slack import message_text, text_input
from adapters.slack.attached_file import GONE, file_of
from gateway.domain.files import File


@dataclass(frozen=True, slots=True)
class Said:
    """A message. Most in a channel are not for the bot, so no more of it is read than is asked for."""

    message: Fields
    bot_user: str
    """The bot's user id, as mentions have it; empty if it is not known."""
    markup: str
    """The text in Slack's markup, see ``message_text.written``."""
    mentions_bot: bool
    """Whether the bot is mentioned: in the text, or according to Slack."""

    @classmethod
    def of(cls, message: Fields, bot_user: str) -> Said:
        markup = message_text.written(message)
        mentioned = text_input.mentions(markup, bot_user) or message.get("type") == "app_mention"
        return cls(message, bot_user, markup, mentioned)

    @property
    def text(self) -> str:
        """Returns what it says, for an assistant; "" for one with files only."""
        text = message_text.with_enclosed(self.markup, self.message, self.bot_user)
        if "files" in self.message:
            text = "\n".join(filter(None, [text, *(GONE.get(text_in(file, "mode")) for file in self._attached)]))
        if text or self.files:
            return text
        return MENTIONED_ONLY if self.mentions_bot else UNREADABLE

    @property
    def enclosed(self) -> list[str]:
        """Returns the texts of what it forwards or links."""
        return message_text.enclosed_texts(self.message)

    @property
    def _attached(self) -> list[Fields]:
        return objects_in(self.message, "files")

    @property
    def files(self) -> tuple[File, ...]:
        """Returns the attached files, and those of forwarded messages."""
        if "files" not in self.message and "attachments" not in self.message:
            return ()
        holders = message_text.with_forwarded(self.message)
        files = [file_of(file) for holder in holders for file in objects_in(holder, "files")]
        return tuple(file for file in files if file is not None)

    @property
    def may_be_incomplete(self) -> bool:
        """Whether another event about it may say more: an ``app_mention`` comes without its files."""
        return self.message.get("type") == "app_mention" and not self.files
