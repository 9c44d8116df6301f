"""Addresses channels and threads of Discord in which nobody has written to the bot."""

from __future__ import annotations

import re

from adapters.base.destination import checked
from adapters.discord.reply_target import DiscordTarget
from gateway.domain.models import ConversationKey
from gateway.ports.platform import Destination

SNOWFLAKE = re.compile(r"[1-9][0-9]{0,19}")


def destination(place: ConversationKey, scope: str) -> Destination:
    """See ``Addressable``. ``scope``: DISCORD_SCOPE; with ``user`` nobody's words are in the conversation.

    A thread is a channel of its own, and a message is posted by its id alone.
    """
    guild = place.workspace and checked("workspace", place.workspace, SNOWFLAKE, "the id of a server, or empty")
    channel = checked("channel", place.channel, SNOWFLAKE, "the id of a channel")
    thread = place.topic and checked("topic", place.topic, SNOWFLAKE, "the id of a thread in the channel")
    key = ConversationKey(place.platform, guild, channel, thread if scope == "topic" else "")
    return Destination(key, DiscordTarget(thread or channel, guild=guild).address)
