"""Stores updates that cannot be parsed or processed, with whose they are, as far as that can be recognised."""

from __future__ import annotations

import json
from collections.abc import Mapping

from adapters.base.json_fields import Fields, object_in
from adapters.base.update_handler import UpdateHandler
from adapters.telegram.message_entities import number_in
from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.ports.platform import ParsedUpdate
from gateway.ports.unparsed_updates import UnparsedUpdate

AUTHORS = ("sender_chat", "from", "user")
"""Objects with the author's id, the first that is there. A message in the name of a chat is from a bot of Telegram's:
core.telegram.org/bots/api#message, sender_chat."""


class TelegramUpdateHandler(UpdateHandler):
    """Also stores what cannot be committed because of a bug: Telegram sends no update before the one that failed."""

    async def take(self, update: ParsedUpdate) -> None:
        """Raises StoreUnavailable, Overloaded."""
        try:
            await super().take(update)
        except (StoreUnavailable, Overloaded):
            raise
        except Exception as exc:  # noqa: BLE001  # repeated, it would fail again
            await self.keep(update, exc)


def identify(name: str, bot_id: str, update: Fields) -> UnparsedUpdate:
    """Returns an update as it is stored. ``name``: the adapter's. Raises nothing."""
    author = channel = ""
    for content in update.values():
        if isinstance(content, Mapping):
            author = author or _author(content)
            channel = channel or _id(content, "chat") or _id(object_in(content, "message"), "chat")
    return UnparsedUpdate(name, bot_id, str(update.get("update_id", "")), json.dumps(update), author, channel)


def _author(content: Fields) -> str:
    return next((found for name in AUTHORS if (found := _id(content, name))), "")


def _id(fields: Fields, name: str) -> str:
    return str(number_in(object_in(fields, name), "id") or "")
