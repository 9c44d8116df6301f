"""Where a message was written, and where its reply goes."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base.address import ReplyTarget

NAME = "telegram"


@dataclass(frozen=True, slots=True)
class TelegramTarget(ReplyTarget):
    """A chat, or a topic of it. Whatever does not apply is empty."""

    chat: str
    topic: str = ""
    """Empty outside of topics, and in the general one."""
    message: str = ""
    """The message that is answered there; empty for an action without a message."""
    user: str = ""
    """The author, for whom the reply is; empty for authors who get none."""
    business: str = ""
    """The business connection through which the message was sent, and on whose behalf the bot writes."""
    type: str = ""
    """Telegram's type of the chat: private, group, supergroup, channel."""

    @property
    def direct(self) -> bool:
        """Whether every message in the chat is for the bot."""
        return self.type == "private"

    @property
    def private(self) -> bool:
        """Whether it is a chat of the bot itself with one person: drafts are shown there."""
        return self.direct and not self.business

    @property
    def channel(self) -> str:
        """A chat through a business connection is distinct from the bot's own chat with the same person."""
        return f"biz:{self.business}:{self.chat}" if self.business else self.chat

    @property
    def args(self) -> dict[str, int | str]:
        """The arguments, beside the chat, that name the target in methods that post or show something."""
        found: dict[str, int | str] = {}
        if self.topic:
            found["message_thread_id"] = int(self.topic)
        if self.business:
            found["business_connection_id"] = self.business
        return found
