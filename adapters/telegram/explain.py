"""A message that nobody sent, as Telegram would tell of it."""

from __future__ import annotations

from typing import Any

from adapters.telegram.incoming import Reader
from gateway.errors import Unreadable
from gateway.ports import Receipt, Supposed

US = "bot"
"""How we are called in it; who is meant stands beside the text."""


def suppose(reader: Reader, supposed: Supposed) -> Receipt:
    """What the reader makes of it. Raises Unreadable for what cannot be Telegram's."""
    chat = _number("chat", supposed.channel or supposed.user)
    user = _number("user", supposed.user or supposed.channel)
    message: dict[str, Any] = {
        "message_id": 1,
        "chat": {"id": chat, "type": "private" if chat > 0 else "supergroup"},
        "from": {"id": user, "is_bot": False, "first_name": "Somebody"},
        "text": supposed.text,
    }
    if supposed.topic:
        message |= {"message_thread_id": _number("topic", supposed.topic), "is_topic_message": True}
    if supposed.mention:
        ours = {"id": int(reader.bot_id), "is_bot": True, "first_name": US}
        called = {"type": "text_mention", "offset": 0, "length": len(US), "user": ours}
        message |= {"text": f"{US} {supposed.text}", "entities": [called]}
    return reader.read({"update_id": 1, "message": message})


def _number(what: str, name: str) -> int:
    try:
        return int(name)
    except ValueError:
        raise Unreadable(f"A {what} of Telegram's is a number, such as 42; that of a group is below zero.") from None
