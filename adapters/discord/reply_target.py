"""Where a message was written, and where its reply goes."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base.address import ReplyTarget

NAME = "discord"
YES = "yes"
EPOCH_MS = 1_420_070_400_000
"""docs.discord.com/developers/reference#snowflakes"""
INTERACTION_SECONDS = 14 * 60.0
"""For which the token of an interaction is used; Discord accepts it for fifteen minutes:
docs.discord.com/developers/interactions/receiving-and-responding#followup-messages"""


@dataclass(frozen=True, slots=True)
class DiscordTarget(ReplyTarget):
    """A channel, a thread or a direct message. Whatever does not apply is empty."""

    channel: str
    message: str = ""
    """The message that is answered there."""
    user: str = ""
    guild: str = ""
    """Empty in direct messages."""
    thread_name: str = ""
    """The name of the thread that the reply opens at the message. Empty: it is posted in the channel."""
    interaction: str = ""
    """The id of the interaction that is answered, such as a slash command."""
    token: str = ""
    """Its token."""
    mentions: str = ""
    """``YES`` for what calls the bot in a thread: the assistant reads what was written above it."""

    @property
    def asked_at(self) -> str:
        """The message or the interaction that is answered."""
        return self.message or self.interaction

    def is_in(self, thread: str) -> bool:
        """Tells whether what is answered stands in a thread, or is what the thread was opened at."""
        return thread == self.channel or (bool(self.thread_name) and thread == self.message)


def snowflake_at(at: float) -> str:
    """Returns the smallest id of what Discord makes at a time, in seconds since the epoch."""
    return str(max(int(at * 1000) - EPOCH_MS, 0) << 22)


def created_at(snowflake: str) -> float:
    """Returns when Discord made an id, in seconds since the epoch."""
    return ((int(snowflake) >> 22) + EPOCH_MS) / 1000
