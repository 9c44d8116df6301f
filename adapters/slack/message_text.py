"""What a message in Slack says, its blocks and attachments included, for an assistant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from adapters.base import text_input as base_text_input
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.text_input import LONGEST_QUOTE, SOMEBODY, quoted
from adapters.slack.blocks import in_markup
from adapters.slack.text_input import readable

WORDS = re.compile(r"\w+")
NO_PREVIEW = "no preview available"
"""What Slack gives as the fallback of an attachment that it cannot describe."""
DEEPEST_FORWARD = 3
"""How often what is forwarded is read that was forwarded already."""


def whole(message: Fields, bot_user: str) -> str:
    """Returns all that a message says, with what it forwards, as plain text."""
    return with_enclosed(written(message), message, bot_user)


def with_enclosed(said: str, message: Fields, bot_user: str) -> str:
    """Returns what ``whole`` does. ``said``: what is ``written`` in the message."""
    return "\n\n".join(filter(None, [readable(said, bot_user), *enclosed_texts(message)]))


def written(message: Fields) -> str:
    """Returns the text in Slack's markup, with what only its blocks say.

    The text of a person's message is that of its rich text; the text of an app's may be a summary of its blocks.
    """
    text, blocks = text_in(message, "text"), objects_in(message, "blocks")
    if text and not _is_of_app(message):
        blocks = [block for block in blocks if block.get("type") != "rich_text"]
    return _together(text, map(in_markup, blocks)) if blocks else text


def _together(text: str, parts: Iterable[str]) -> str:
    """Returns a text with the parts whose words it does not have; without it where they have its words."""
    said = [part for part in parts if part and not _says(text, part)]
    return "\n".join(said if not text or (said and _says("\n".join(said), text)) else [text, *said])


def _is_of_app(message: Fields) -> bool:
    return bool(message.get("bot_id") or message.get("app_id") or "user" not in message)


def _says(text: str, part: str) -> bool:
    """Tells whether a text has the words of another in their order."""
    return f" {_words(part)} " in f" {_words(text)} " if _words(part) else part in text


def _words(text: str) -> str:
    return " ".join(WORDS.findall(readable(text).casefold()))


def enclosed(message: Fields) -> list[Fields]:
    """Returns the attachments that are part of the message: messages that it forwards or links, and apps' content.

    Previews of other links are not.
    """
    return [
        attachment
        for attachment in objects_in(message, "attachments")
        if attachment.get("is_share") or attachment.get("is_msg_unfurl") or not attachment.get("from_url")
    ]


def enclosed_texts(message: Fields, depth: int = 0) -> list[str]:
    """Returns what the attachments say. ``depth``: of those, which may be forwarded themselves."""
    if "attachments" not in message or depth > DEEPEST_FORWARD:
        return []
    return list(filter(None, (attachment_text(one, depth) for one in enclosed(message))))


def with_forwarded(message: Fields, depth: int = 0) -> list[Fields]:
    """Returns a message, and what it forwards and apps attached to it, with what is forwarded in that."""
    parts = enclosed(message) if depth <= DEEPEST_FORWARD else []
    return [message, *(each for part in parts if not is_linked(part) for each in with_forwarded(part, depth + 1))]


def is_linked(attachment: Fields) -> bool:
    """Tells whether it is a message that a link leads to. One that is forwarded is unfurled too."""
    return bool(attachment.get("is_msg_unfurl")) and not attachment.get("is_share")


def attachment_text(attachment: Fields, depth: int = 0) -> str:
    """Returns an attachment as plain text; "" if it has none. ``depth``: of forwards in forwards."""
    body = _together(written(attachment), _quoted_blocks(attachment)) or _fallback(attachment)
    facts = [f"{text_in(field, 'title')}: {text_in(field, 'value')}" for field in objects_in(attachment, "fields")]
    parts = [text_in(attachment, "pretext"), _title(attachment), body, *facts]
    text = "\n".join(filter(None, [*map(readable, parts), *enclosed_texts(attachment, depth + 1)]))
    author = readable(text_in(attachment, "author_name"))
    if is_linked(attachment):
        return _linked(attachment, author or SOMEBODY, text)
    if attachment.get("is_share"):
        return base_text_input.forwarded(author or SOMEBODY, text) if text else ""
    footer = readable(text_in(attachment, "footer")) if text else ""
    return "\n".join(filter(None, [author, text, footer]))


def _title(attachment: Fields) -> str:
    title, address = text_in(attachment, "title"), text_in(attachment, "title_link")
    return f"<{address}|{title}>" if title and address else title


def _linked(attachment: Fields, author: str, text: str) -> str:
    """Returns a message that a link leads to, as a quotation. Its files are named only."""
    names = [text_in(file, "name") or text_in(file, "title") for file in objects_in(attachment, "files")]
    said = "\n".join(filter(None, [text, *(f"[attached: {name}]" for name in names if name)]))
    if len(said) > LONGEST_QUOTE:
        said = f"{said[:LONGEST_QUOTE].rstrip()} […]"
    channel = text_in(attachment, "channel_name")
    where = f" in #{channel}" if channel else ""
    return f"The link leads to a message of {author}{where}:\n{quoted(said)}" if said else ""


def _fallback(attachment: Fields) -> str:
    text = text_in(attachment, "fallback")
    return "" if text.strip("[]. ").casefold() == NO_PREVIEW else text


def _quoted_blocks(attachment: Fields) -> Iterator[str]:
    """Yields the blocks of a message that is forwarded. The text of a person's is that of its rich text."""
    has_text = bool(attachment.get("text") and attachment.get("author_id"))
    for quote in objects_in(attachment, "message_blocks"):
        blocks = objects_in(object_in(quote, "message"), "blocks")
        yield from (in_markup(block) for block in blocks if not (has_text and block.get("type") == "rich_text"))
