"""Converts what people write in Discord, with what it forwards and replies to, into plain text for an assistant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from adapters.base import text_input
from adapters.base.json_fields import Fields, object_in, objects_in, size_in, text_in
from adapters.base.quotes import CUT
from adapters.base.text_input import LONGEST_QUOTE
from gateway.domain.files import File

TAG = re.compile(
    r"<(?:@!?(?P<user>\d+)|@&(?P<role>\d+)|#(?P<channel>\d+)|a?:(?P<emoji>\w+):\d+|/(?P<command>[^:>]+):\d+"
    r"|t:(?P<time>\d+)(?::\w)?)>"
)
"""docs.discord.com/developers/reference#message-formatting-formats"""
CHANNEL = re.compile(r"<#(\d{1,20})>")
ROLE = re.compile(r"<@&(\d{1,20})>")
CALLS_OTHERS = text_input.calling(r"<@[!&]?\d+>")
"""Whether a text without a mention of the bot calls upon somebody."""
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


def names(message: Fields, bot: str) -> bool:
    """Tells whether a text names the bot. Discord also counts as mentioned whom a message replies to."""
    content = text_in(message, "content")
    return f"<@{bot}>" in content or f"<@!{bot}>" in content


def shown_with(message: Fields) -> list[Fields]:
    """Returns a message, the one that it replies to, and those that it forwards."""
    return [message, object_in(message, "referenced_message"), *_snapshots(message)]


def channels_in(message: Fields) -> list[str]:
    """Returns the ids of the channels that a message mentions, or what is shown with it."""
    return _found(CHANNEL, message)


def roles_in(message: Fields) -> list[str]:
    """Returns the ids of the roles that a message mentions, or what is shown with it."""
    return _found(ROLE, message)


def _found(mark: re.Pattern[str], message: Fields) -> list[str]:
    texts = (text_in(each, "content") for each in shown_with(message))
    return list(dict.fromkeys(mark.findall("\n".join(texts))))


def post_title(name: str) -> str:
    """Returns what the first message of a forum's post says beside its text; "" if the name is not known."""
    return f"(begins a post: {name})" if name else ""


def own(message: Fields, bot: str) -> str:
    """Returns what a message itself says: of a program's also embeds and components, which may be all of it."""
    said = _said(message, bot) if is_by_program(message) else readable(text_in(message, "content"), bot)
    return "\n".join(filter(None, [said, *_described(message)]))


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
        text = "\n".join(filter(None, [_said(each, bot), *_described(each)]))
        if text or files_of(each):
            yield text_input.forwarded(text_input.SOMEBODY, text)


def quoted_text(message: Fields, bot: str) -> str:
    """Returns what is quoted of a message that another one replies to: its text, and the names of its files."""
    text = own(message, bot) or "\n\n".join(forwarded_texts(message, bot))
    attached = [f"[attached: {file.shown_name}]" for file in all_files(message)]
    text = text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE].rstrip() + CUT
    return "\n".join(filter(None, [text, *attached]))


def _described(message: Fields) -> Iterator[str]:
    """Yields words for stickers and a poll."""
    yield from (f"(sends a sticker: {text_in(each, 'name')})" for each in objects_in(message, "sticker_items"))
    yield from _poll(object_in(message, "poll"))


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
    if tag["time"]:
        return text_input.moment(tag["time"]) or tag[0]
    return f":{tag['emoji']}:" if tag["emoji"] else f"/{tag['command']}"


def _embeds(message: Fields, bot: str) -> Iterator[str]:
    """Yields the texts of embeds: docs.discord.com/developers/resources/message#embed-object"""
    for embed in objects_in(message, "embeds"):
        if embed.get("type", RICH) == RICH:
            facts = [f"{text_in(field, 'name')}: {text_in(field, 'value')}" for field in objects_in(embed, "fields")]
            parts = [text_in(object_in(embed, "author"), "name"), _title(embed)]
            parts += [text_in(embed, "description"), *facts, text_in(object_in(embed, "footer"), "text")]
            yield readable("\n".join(filter(None, parts)), bot)


def _title(embed: Fields) -> str:
    title, address = text_in(embed, "title"), text_in(embed, "url")
    return text_input.labelled_link(title, address) if title and address else title


def _components(holder: Fields, depth: int = 0) -> Iterator[str]:
    """Yields the texts of components, but not those of buttons.

    docs.discord.com/developers/components/reference#text-display
    """
    for each in objects_in(holder, "components") if depth < DEEPEST else ():
        yield text_in(each, "content")
        pictures = (object_in(each, "accessory"), *objects_in(each, "items"))
        yield from (text_in(picture, "description") for picture in pictures)
        yield from _components(each, depth + 1)


def _poll(poll: Fields) -> Iterator[str]:
    """Yields a poll's question and answers: docs.discord.com/developers/resources/poll#poll-object"""
    if question := text_in(object_in(poll, "question"), "text"):
        yield f"(poll) {question}"
        yield from (f"- {_answer(object_in(each, 'poll_media'))}" for each in objects_in(poll, "answers"))


def _answer(media: Fields) -> str:
    """Returns an answer of a poll, which may be an emoji alone."""
    return " ".join(filter(None, [text_in(object_in(media, "emoji"), "name"), text_in(media, "text")]))


def _file(attachment: Fields) -> File | None:
    url, media_type = text_in(attachment, "url"), text_in(attachment, "content_type").partition(";")[0]
    return File(file_name(attachment), url, media_type, size_in(attachment, "size")) if url else None


def file_name(attachment: Fields) -> str:
    """Returns the name that a person gave a file. Of one with other than Latin letters, ``filename`` has the rest.

    docs.discord.com/developers/resources/message#attachment-object
    """
    name, title = text_in(attachment, "filename"), text_in(attachment, "title").strip()
    ending = PurePosixPath(name).suffix or (name if name.startswith(".") else "")
    if not title:
        return name or "file"
    return title if title.lower().endswith(ending.lower()) else f"{title}{ending}"
