"""The names of bots: several can be on one platform, and each has conversations, queues and limits of its own."""

from __future__ import annotations

SEPARATOR = ":"
"""Between the platform and the bot. Neither has it in its name."""


def bot_name(platform: str, bot: str) -> str:
    """Returns the name of a bot as ``Adapter.name`` and in ``ConversationKey.platform``, such as ``telegram:sales``.

    The bot without a name has that of the platform.
    """
    return f"{platform}{SEPARATOR}{bot}" if bot else platform


def platform_of(name: str) -> str:
    """Returns the platform of a bot with this name: ``telegram`` of ``telegram:sales``."""
    return name.partition(SEPARATOR)[0]


def is_named(name: str) -> bool:
    """Returns whether it is the name of a bot that has one of its own."""
    return SEPARATOR in name
