"""Parses a made-up message, as Telegram would send it, for ``python -m gateway explain``."""

from __future__ import annotations

from typing import Any

from adapters.telegram.update_parser import UpdateParser
from gateway.domain.errors import MalformedRequest
from gateway.ports.platform import ParsedUpdate, SyntheticMessage

BOT = "bot"
"""The mention in the text. The entity beside it says who is meant."""


def dry_run(parser: UpdateParser, supposed: SyntheticMessage) -> ParsedUpdate:
    """Raises MalformedRequest for ids that cannot be Telegram's."""
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
    if supposed.mentions_bot:
        sender = {"id": int(parser.bot_id), "is_bot": True, "first_name": BOT}
        mention = {"type": "text_mention", "offset": 0, "length": len(BOT), "user": sender}
        message |= {"text": f"{BOT} {supposed.text}", "entities": [mention]}
    return parser.parse({"update_id": 1, "message": message})


def _number(what: str, name: str) -> int:
    try:
        return int(name)
    except ValueError:
        raise MalformedRequest(
            f"A {what} of Telegram's is a number, such as 42; that of a group is below zero."
        ) from None
