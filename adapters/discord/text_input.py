"""Converts what people write in Discord, with what it forwards and replies to, into plain text for an assistant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from adapters.base import text_input
from adapters.base.json_fields import Fields, object_in, objects_in, size_in, text_in
from gateway.domain.files import File

TAG = re.compile(
    r"<(?:@!?(?P<user>\d+)|@&(?P<role>\d+)|#(?P<channel>\d+)|a?:(?P<emoji>\w+):\d+|/(?P<command>[^:>]+):\d+)>"
)
CHANNEL = re.compile(r"<#(\d{1,20})>")
CALLS_OTHERS = text_input.calling(r"<@[!&]?\d+>")
"""Whether a text without a mention of the bot calls upon somebody."""
LONGEST_QUOTE = 2000
DEEPEST = 4
"""Levels of components that are read: a text may stand in a section, in a container."""
RICH = "rich"
"""The type of an embed that a program has written; others are previews of links."""


def readable(text: str, bot: str) -> str:
    """Returns a text with its marks as words. ``bot``: the id of the bot's user."""
    return text_input.resolve_mentions(TAG.sub(partial(_tag, bot), text))


def calls_others(message: Fields) -> bool:
    """Tells whether a message that does not mention the bot calls upon somebody: "<@1> can you …?"."""
    return CALLS_OTHERS.search(text_in(message, "content")) is not None


def channels_in(message: Fields) -> list[str]:
    """Returns the ids of the channels that a message mentions, or the one that it replies to."""
    texts = (text_in(each, "content") for each in (message, object_in(message, "referenced_message")))
    return list(dict.fromkeys(CHANNEL.findall("\n".join(texts))))


def own(message: Fields, bot: str) -> str:
    """Returns what a message itself says: of a program's also embeds and components, which may be all of it."""
    return _said(message, bot) if is_by_program(message) else readable(text_in(message, "content"), bot)


def _said(message: Fields, bot: str) -> str:
    components = (readable(text, bot) for text in _components(message))
    return "\n".join(filter(None, [readable(text_in(message, "content"), bot), *_embeds(message, bot), *components]))


def is_by_program(message: Fields) -> bool:
    return object_in(message, "author").get("bot") is True or bool(message.get("webhook_id"))


def forwarded_texts(message: Fields, bot: str) -> Iterator[str]:
    """Yields the messages that a message forwards.

    docs.discord.com/developers/resources/message#message-snapshot-object
    """
    for each in _snapshots(message):
        text = _said(each, bot) or described(each)
        if text or files_of(each):
            yield text_input.forwarded(text_input.SOMEBODY, text)


def quoted_text(message: Fields, bot: str) -> str:
    """Returns what is quoted of a message that another one replies to: its text, and the names of its files."""
    text = own(message, bot) or "\n\n".join(forwarded_texts(message, bot)) or described(message)
    names = [f"[attached: {file.shown_name}]" for file in all_files(message)]
    return "\n".join(filter(None, [text[:LONGEST_QUOTE], *names]))


def described(message: Fields) -> str:
    """Returns words for a sticker or a poll; "" where there is none."""
    stickers = [f"(sends a sticker: {text_in(each, 'name')})" for each in objects_in(message, "sticker_items")]
    return "\n".join([*stickers, *_poll(object_in(message, "poll"))])


def files_of(message: Fields) -> tuple[File, ...]:
    """Returns the files that are attached to a message itself."""
    return tuple(filter(None, map(_file, objects_in(message, "attachments"))))


def all_files(message: Fields) -> tuple[File, ...]:
    """Returns the files of a message, and of those that it forwards."""
    return (*files_of(message), *(file for each in _snapshots(message) for file in files_of(each)))


def _snapshots(message: Fields) -> list[Fields]:
    return [object_in(each, "message") for each in objects_in(message, "message_snapshots")]


def _tag(bot: str, tag: re.Match[str]) -> str:
    if user := tag["user"]:
        return text_input.MENTION if user == bot else f"@{user}"
    if tag["role"]:
        return f"@{tag['role']}"
    if tag["channel"]:
        return f"#{tag['channel']}"
    return f":{tag['emoji']}:" if tag["emoji"] else f"/{tag['command']}"


def _embeds(message: Fields, bot: str) -> Iterator[str]:
    """Yields the texts of embeds: docs.discord.com/developers/resources/message#embed-object"""
    for embed in objects_in(message, "embeds"):
        if embed.get("type", RICH) == RICH:
            facts = [f"{text_in(field, 'name')}: {text_in(field, 'value')}" for field in objects_in(embed, "fields")]
            parts = [text_in(object_in(embed, "author"), "name"), text_in(embed, "title")]
            parts += [text_in(embed, "description"), *facts, text_in(object_in(embed, "footer"), "text")]
            yield readable("\n".join(filter(None, parts)), bot)


def _components(holder: Fields, depth: int = 0) -> Iterator[str]:
    """Yields the texts of components, but not those of buttons.

    docs.discord.com/developers/components/reference#text-display
    """
    for each in objects_in(holder, "components") if depth < DEEPEST else ():
        yield text_in(each, "content")
        yield from (text_in(item, "description") for item in objects_in(each, "items"))
        yield from _components(each, depth + 1)


def _poll(poll: Fields) -> Iterator[str]:
    """Yields a poll's question and answers: docs.discord.com/developers/resources/poll#poll-object"""
    if question := text_in(object_in(poll, "question"), "text"):
        yield f"(poll) {question}"
        yield from (f"- {text_in(object_in(each, 'poll_media'), 'text')}" for each in objects_in(poll, "answers"))


def _file(attachment: Fields) -> File | None:
    url, name = text_in(attachment, "url"), text_in(attachment, "filename")
    media_type = text_in(attachment, "content_type").partition(";")[0]
    return File(name or "file", url, media_type, size_in(attachment, "size")) if url else None
