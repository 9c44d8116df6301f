"""Why Discord refuses: docs.discord.com/developers/topics/opcodes-and-status-codes#json-json-error-codes"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
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
    10003: Reason.CHANNEL_GONE,
    10008: Reason.MESSAGE_GONE,
    10015: Reason.INTERACTION_OVER,
    10062: Reason.INTERACTION_OVER,
    20009: Reason.CONTENT,
    20016: Reason.NO_PERMISSION,
    30046: Reason.OLD_MESSAGE,
    40001: Reason.TOKEN,
    40005: Reason.TOO_LARGE,
    40060: Reason.INTERACTION_OVER,
    50001: Reason.NO_ACCESS,
    50005: Reason.MESSAGE_GONE,
    50006: Reason.EMPTY,
    50007: Reason.NOT_REACHABLE,
    50008: Reason.NO_PERMISSION,
    50013: Reason.NO_PERMISSION,
    50014: Reason.TOKEN,
    50021: Reason.MESSAGE_GONE,
    50024: Reason.NO_PERMISSION,
    50027: Reason.INTERACTION_OVER,
    50035: Reason.CONTENT,
    50083: Reason.LOCKED,
    50109: Reason.CONTENT,
    160004: Reason.THREAD_EXISTS,
    160005: Reason.LOCKED,
    200000: Reason.BLOCKED,
    200001: Reason.BLOCKED,
}
"""By Discord's code. For any other the HTTP status decides, and then ``OTHER``."""
STATUSES = {401: Reason.TOKEN, 403: Reason.NO_PERMISSION, 413: Reason.TOO_LARGE}

ADVICE = {
    Reason.TOKEN: "Put the bot's token into DISCORD_BOT_TOKEN: Bot, Reset Token in the developer portal",
    Reason.NO_ACCESS: "Give the bot the permission View Channel there",
    Reason.NO_PERMISSION: "Give the bot the permissions Send Messages, Send Messages in Threads, Create Public "
    "Threads, Attach Files and Read Message History there",
    Reason.BLOCKED: "A rule of the server's AutoMod refuses the text; exempt the bot's role from it",
    Reason.LOCKED: "The thread is locked; unlock it, or write in another",
}
"""What the operator can do."""
