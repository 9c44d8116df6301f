"""Addresses chats of Telegram in which nobody has written to the bot."""

from __future__ import annotations

import re

from adapters.base.destination import checked
from adapters.telegram.reply_target import TelegramTarget
from gateway.domain.models import ConversationKey
from gateway.ports.platform import Destination

CHAT, TOPIC = re.compile(r"-?[1-9][0-9]{0,18}"), re.compile(r"[1-9][0-9]{0,18}")


def destination(place: ConversationKey, bot_id: str, scope: str) -> Destination:
    """See ``Addressable``. ``scope``: TELEGRAM_SCOPE; with ``user`` nobody's words are in the conversation.

    The ids of private chats are those of people, and positive: core.telegram.org/api/bots/ids. The bot may write to a
    person only after that person has started it.
    """
    bot = checked("workspace", place.workspace or bot_id, re.compile(bot_id), f"the id of the bot, {bot_id}, or empty")
    chat = checked("channel", place.channel, CHAT, "the id of a chat, such as -1001234567890")
    topic = place.topic and checked("topic", place.topic, TOPIC, "the message_thread_id of a topic, such as 17")
    target = TelegramTarget(chat, topic, type="supergroup" if chat.startswith("-") else "private")
    return Destination(ConversationKey(place.platform, bot, chat, topic if scope == "topic" else ""), target.address)
