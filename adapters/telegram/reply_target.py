"""Where a reply goes."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.models import Address

NAME = "telegram"


@dataclass(frozen=True, slots=True)
class TelegramTarget:
    """A chat, or a topic of it. Whatever does not apply is empty."""

    chat: str
    topic: str = ""
    reply_to: str = ""
    """The message that is answered there."""
    user: str = ""
    """The person for whom the reply is."""
    business: str = ""
    """The business connection on whose behalf the bot writes."""
    kind: str = ""
    """Telegram's type of the chat: private, group, supergroup, channel."""

    @classmethod
    def of(cls, address: Address) -> TelegramTarget:
        """Reads an address that the event parser wrote."""
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
        """Whether it is a chat of the bot itself with one person: drafts are shown there."""
        return self.kind == "private" and not self.business

    @property
    def args(self) -> dict[str, int | str]:
        """The arguments, beside the chat, that name the target in methods that post or show something."""
        found: dict[str, int | str] = {}
        if self.topic:
            found["message_thread_id"] = int(self.topic)
        if self.business:
            found["business_connection_id"] = self.business
        return found
