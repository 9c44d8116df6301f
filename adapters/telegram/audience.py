"""Decides who has written a message in Telegram, and whether it is for the bot."""

from __future__ import annotations

from collections.abc import Callable

from adapters.base.json_fields import Fields, object_in
from adapters.base.text_input import CHOICES, HANDOVER_WORDS, RESETS, STOPS
from adapters.telegram.message_entities import BotIdentity, number_in
from adapters.telegram.parsed_message import ParsedMessage
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.text_input import Command

GROUPS = ("group", "supergroup")
COMMANDS = RESETS | STOPS | HANDOVER_WORDS | {"start", "help"}
"""Those that are taken in groups without the bot's name."""


def author_of(message: Fields, me: BotIdentity) -> str:
    """Returns the id of the author; "" for those who get no answer: the bot itself, other bots, a linked channel.

    The author of a message in the name of a chat is a bot of Telegram's: core.telegram.org/bots/api#message,
    sender_chat.
    """
    sender, chat = object_in(message, "from"), object_in(message, "chat")
    via_us = number_in(object_in(message, "via_bot"), "id") == me.id
    if via_us or message.get("is_automatic_forward") or message.get("sender_business_bot"):
        return ""
    if speaks_as := object_in(message, "sender_chat"):
        return str(number_in(speaks_as, "id") or "")
    is_owner = "business_connection_id" in message and sender.get("id") != chat.get("id")
    return "" if is_owner or sender.get("is_bot") else str(number_in(sender, "id") or "")


class Audience:
    """Knows where the bot answers, and what is said to it there."""

    def __init__(self, settings: TelegramSettings, several_assistants: Callable[[], bool]) -> None:
        """``several_assistants``: tells whether people can choose one."""
        self._groups = settings.telegram_groups
        self._allowed = settings.allowed_chats
        self._several_assistants = several_assistants

    def allows(self, target: TelegramTarget) -> bool:
        """Tells whether the operator lets the bot answer this chat or this author."""
        return not self._allowed or not self._allowed.isdisjoint({target.chat, target.user})

    def hears(self, target: TelegramTarget, parsed: ParsedMessage) -> bool:
        """Tells whether the bot answers in this chat at all."""
        is_group = target.type in GROUPS and not parsed.in_channel_inbox
        return target.direct or (self._groups != "never" and is_group)

    def hears_all(self, target: TelegramTarget) -> bool:
        """Tells whether the bot answers everything in this chat, where it answers at all."""
        return target.direct or self._groups == "always"

    def is_meant(self, target: TelegramTarget, parsed: ParsedMessage) -> bool:
        """Tells whether a message is for the bot."""
        if target.direct or not self.hears(target, parsed):
            return target.direct
        if parsed.command and not parsed.mentions_bot:
            return self._takes(parsed.command)
        return self.is_addressed(target, parsed)

    def is_addressed(self, target: TelegramTarget, parsed: ParsedMessage) -> bool:
        """Tells whether the bot is meant beyond doubt: a reset by mistake cannot be undone."""
        if self.hears_all(target) or parsed.mentions_bot:
            return True
        return parsed.replies_to_bot and not parsed.calls_others

    def _takes(self, command: Command) -> bool:
        """Tells whether a command in a group, without the bot's name, is for the bot.

        Where several bots could be meant, Telegram's clients write a name behind a command, and Telegram itself sends
        one without a name only to the bot that spoke last, and to those that read everything:
        core.telegram.org/bots/features#commands, #privacy-mode
        """
        return not command.to and (command.name in COMMANDS or (command.name in CHOICES and self._several_assistants()))
