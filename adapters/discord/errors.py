"""Why Discord refuses: docs.discord.com/developers/topics/opcodes-and-status-codes#json-json-error-codes"""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """The ``reason`` of a ``Rejected``."""

    TOKEN = "token"  # noqa: S105  # a name
    MESSAGE_GONE = "message_gone"
    CHANNEL_GONE = "channel_gone"
    NO_ACCESS = "no_access"
    NO_PERMISSION = "no_permission"
    NOT_REACHABLE = "not_reachable"
    """The person accepts no direct messages from the bot."""
    CONTENT = "content"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    BLOCKED = "blocked"
    """A rule of the server (AutoMod) refuses the text."""
    THREAD_EXISTS = "thread_exists"
    LOCKED = "locked"
    OLD_MESSAGE = "old_message"
    """An old message was changed too often."""
    INTERACTION_OVER = "interaction_over"
    OTHER = "other"


REASONS = {
    10003: Refusal.CHANNEL_GONE,
    10008: Refusal.MESSAGE_GONE,
    10015: Refusal.INTERACTION_OVER,
    10062: Refusal.INTERACTION_OVER,
    20009: Refusal.CONTENT,
    20016: Refusal.NO_PERMISSION,
    30046: Refusal.OLD_MESSAGE,
    40001: Refusal.TOKEN,
    40005: Refusal.TOO_LARGE,
    40060: Refusal.INTERACTION_OVER,
    50001: Refusal.NO_ACCESS,
    50005: Refusal.MESSAGE_GONE,
    50006: Refusal.EMPTY,
    50007: Refusal.NOT_REACHABLE,
    50008: Refusal.NO_PERMISSION,
    50013: Refusal.NO_PERMISSION,
    50014: Refusal.TOKEN,
    50021: Refusal.MESSAGE_GONE,
    50024: Refusal.NO_PERMISSION,
    50027: Refusal.INTERACTION_OVER,
    50035: Refusal.CONTENT,
    50083: Refusal.LOCKED,
    50109: Refusal.CONTENT,
    160004: Refusal.THREAD_EXISTS,
    160005: Refusal.LOCKED,
    200000: Refusal.BLOCKED,
    200001: Refusal.BLOCKED,
}
"""By Discord's code. For any other the HTTP status decides, and then ``OTHER``."""
STATUSES = {401: Refusal.TOKEN, 403: Refusal.NO_PERMISSION, 413: Refusal.TOO_LARGE}

ADVICE = {
    Refusal.TOKEN: "Put the bot's token into DISCORD_BOT_TOKEN, or the token of [[bots]]: Bot, Reset Token in the "
    "developer portal",
    Refusal.NO_ACCESS: "Give the bot the permission View Channel there",
    Refusal.NO_PERMISSION: "Give the bot the permissions Send Messages, Send Messages in Threads, Create Public "
    "Threads, Attach Files and Read Message History there",
    Refusal.BLOCKED: "A rule of the server's AutoMod refuses the text; exempt the bot's role from it",
    Refusal.LOCKED: "The thread is locked; unlock it, or write in another",
}
"""What the operator can do."""
