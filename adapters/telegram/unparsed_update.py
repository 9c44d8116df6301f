"""Finds out whose an update is that could not be parsed, as far as it can be recognised."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.base.json_fields import Fields, object_in
from adapters.telegram.message_entities import number_in
from adapters.telegram.reply_target import NAME
from gateway.ports.unparsed_updates import UnparsedUpdate

AUTHORS = ("sender_chat", "from", "user")
"""Objects with the author's id, the first that is there. A message in the name of a chat is from a bot of Telegram's:
core.telegram.org/bots/api#message, sender_chat."""


def identify(bot_id: str, update: Fields, body: str) -> UnparsedUpdate:
    """Returns an update as it is stored. Raises nothing."""
    author = channel = ""
    for content in update.values():
        if isinstance(content, Mapping):
            author = author or _author(content)
            channel = channel or _id(content, "chat") or _id(object_in(content, "message"), "chat")
    return UnparsedUpdate(NAME, bot_id, str(update.get("update_id", "")), body, author, channel)


def _author(content: Fields) -> str:
    return next((found for name in AUTHORS if (found := _id(content, name))), "")


def _id(fields: Fields, name: str) -> str:
    return str(number_in(object_in(fields, name), "id") or "")
