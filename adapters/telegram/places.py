"""Where a reply goes."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.messages import Address

NAME = "telegram"


@dataclass(frozen=True, slots=True)
class Place:
    """A chat, or a topic of it. What is not so is empty."""

    chat: str
    topic: str = ""
    reply_to: str = ""
    """The message that is answered there."""
    user: str = ""
    """Whom the reply is for."""
    business: str = ""
    """The business connection on whose behalf the bot writes."""
    kind: str = ""
    """Telegram's type of the chat: private, group, supergroup, channel."""

    @classmethod
    def of(cls, address: Address) -> Place:
        """From an address as ``incoming`` writes it."""
        return cls(
            address["chat"],
            address.get("topic", ""),
            address.get("message", ""),
            address.get("user", ""),
            address.get("business", ""),
            address.get("type", ""),
        )

    @property
    def private(self) -> bool:
        """Whether it is a chat with one person, and the bot's own: drafts are shown there."""
        return self.kind == "private" and not self.business

    @property
    def args(self) -> dict[str, int | str]:
        """The arguments that say where, beside the chat, of whatever posts or shows something."""
        found: dict[str, int | str] = {}
        if self.topic:
            found["message_thread_id"] = int(self.topic)
        if self.business:
            found["business_connection_id"] = self.business
        return found
