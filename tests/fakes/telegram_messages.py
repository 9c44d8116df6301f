"""Builds messages as Telegram sends them: core.telegram.org/bots/api#message. Needs no server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

Json = dict[str, Any]

TOKEN = "123456:fake-token-for-tests"
BOT_ID = 123456
BOT_NAME = "gateway_bot"
SECRET = "s3cret"
USER = 1001
"""A user's id, which is also the id of their private chat with the bot."""
GROUP = -1002002002002
"""Id of a supergroup."""
SUPERGROUPS = -1_000_000_000_000
"""Ids of supergroups and channels are below it, those of basic groups above."""
GENERAL_TOPIC = 1
"""The topic that every forum has; messages in it carry no message_thread_id."""

_message_ids = count(1)
_files = count(1)
_DETECTED = re.compile(
    r"(?P<bot_command>(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?)(?!\w)"
    r"|(?P<url>https?://[^\s<>]+[^\s<>.,;:!?])"
    r"|(?P<mention>(?<!\w)@[A-Za-z]\w{2,31})(?!\w)"
)


# ---------------------------------------------------------------- who and where


def bot_user(**more: Any) -> Json:
    """Returns the bot as a User object."""
    return {"id": BOT_ID, "is_bot": True, "first_name": "Gateway", "username": BOT_NAME, **more}


def human_user(user_id: int = USER, **more: Any) -> Json:
    named = {"first_name": f"Ann {user_id}", "last_name": "Lee", "username": f"ann{user_id}", "language_code": "en"}
    return {"id": user_id, "is_bot": False, **named, **more}


def private_chat(chat_id: int = USER, **more: Any) -> Json:
    return {"id": chat_id, "type": "private", "first_name": f"Ann {chat_id}", "username": f"ann{chat_id}", **more}


def group_chat(chat_id: int = GROUP, forum: bool = False, **more: Any) -> Json:  # noqa: FBT001, FBT002  # reads well in tests
    """Returns a basic group or a supergroup, depending on its id; a forum is always a supergroup."""
    kind = "supergroup" if forum or chat_id < SUPERGROUPS else "group"
    return {"id": chat_id, "type": kind, "title": "Builders"} | ({"is_forum": True} if forum else {}) | more


def channel_chat(chat_id: int = -1003003003003, **more: Any) -> Json:
    return {"id": chat_id, "type": "channel", "title": "News", **more}


def chat_of(chat: Json | int, thread: int | None = None) -> Json:
    """Returns the chat for an id: positive is private; a chat with a topic is a forum."""
    if not isinstance(chat, int):
        return chat
    return private_chat(chat) if chat > 0 else group_chat(chat, forum=thread is not None)


def sender_of(user: Json | int | None, chat: Json) -> Json:
    """Returns the sender: by default the user of a private chat, or USER elsewhere."""
    if user is None:
        return human_user(chat["id"]) if chat["type"] == "private" else human_user()
    return human_user(user) if isinstance(user, int) else user


# ---------------------------------------------------------------- entities


def utf16_length(text: str) -> int:
    """Returns the length as Telegram counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def entity(kind: str, text: str, part: str, **more: Any) -> Json:
    """Returns the entity that covers the first occurrence of ``part`` in ``text``."""
    return {"type": kind, "offset": utf16_length(text[: text.index(part)]), "length": utf16_length(part), **more}


def detected_entities(text: str) -> list[Json]:
    """Returns the entities that Telegram detects itself: commands, mentions, links."""
    return [
        {"type": match.lastgroup, "offset": utf16_length(text[: match.start()]), "length": utf16_length(match.group())}
        for match in _DETECTED.finditer(text)
    ]


def text_mention(text: str, part: str, user: Json | None = None) -> Json:
    """Returns a mention of a user without a username; of the bot unless given."""
    return entity("text_mention", text, part, user=user or bot_user())


# ---------------------------------------------------------------- messages


def message_json(
    text: str = "",
    *,
    chat: Json | int = USER,
    user: Json | int | None = None,
    message_id: int | None = None,
    thread: int | None = None,
    reply_to: Json | None = None,
    entities: Sequence[Json] | None = None,
    edited: bool = False,
    business: str = "",
    **more: Any,
) -> Json:
    """Returns a user's message; without ``text`` its content is given by ``more``.

    ``entities``: by default those that Telegram detects itself. As with Telegram, a message in a forum topic that
    replies to nothing has the message that opened the topic as its reply_to_message.
    """
    where = chat_of(chat, thread)
    number = next(_message_ids) if message_id is None else message_id
    written: Json = {"message_id": number, "from": sender_of(user, where), "chat": where, "date": int(time.time())}
    written |= _topic_fields(where, thread, number) | text_fields(text, entities)
    if reply_to is not None:
        written["reply_to_message"] = {key: value for key, value in reply_to.items() if key != "reply_to_message"}
    if edited:
        written["edit_date"] = written["date"] + 1
    if business:
        written["business_connection_id"] = business
    return written | more


def text_fields(text: str, entities: Sequence[Json] | None = None) -> Json:
    """Returns the fields ``text`` and ``entities``; empty when there is no text."""
    if not text:
        return {}
    marked = detected_entities(text) if entities is None else list(entities)
    return {"text": text} | ({"entities": marked} if marked else {})


def caption_fields(text: str, entities: Sequence[Json] | None = None) -> Json:
    """Returns the fields ``caption`` and ``caption_entities`` of a message with a file."""
    return {
        f"caption_{name}" if name == "entities" else "caption": told
        for name, told in text_fields(text, entities).items()
    }


def _topic_fields(chat: Json, thread: int | None, message_id: int) -> Json:
    if thread is None:
        return {}
    if chat["type"] == "private":
        return {"message_thread_id": thread, "is_topic_message": True}
    if thread == GENERAL_TOPIC:
        return {}
    if not chat.get("is_forum"):
        return {"message_thread_id": thread}
    opened = {"forum_topic_created": {"name": "A topic", "icon_color": 7322096}}
    opening = {"message_id": thread, "from": human_user(), "chat": chat, "date": int(time.time()), **opened}
    opening |= {"message_thread_id": thread, "is_topic_message": True}
    answered = {} if thread == message_id else {"reply_to_message": opening}
    return {"message_thread_id": thread, "is_topic_message": True, **answered}


def bot_message(text: str = "Hello", **more: Any) -> Json:
    """Returns a message of the bot, to reply to."""
    return message_json(text, user=bot_user(), **more)


def mention(text: str = "what is this?", **more: Any) -> Json:
    """Returns a group message that mentions the bot."""
    return message_json(f"@{BOT_NAME} {text}", **{"chat": GROUP, **more})


def reply_with_quote(text: str, quote: str, reply_to: Json, **more: Any) -> Json:
    """Returns a reply that quotes a part of the original message."""
    whole = reply_to.get("text") or reply_to.get("caption", "")
    position = utf16_length(whole[: whole.index(quote)])
    return message_json(text, reply_to=reply_to, quote={"text": quote, "position": position, "is_manual": True}, **more)


def reply_to_other_chat(text: str, quote: str, **more: Any) -> Json:
    """Returns a reply to a message of another chat; only the quote is visible."""
    origin = {"type": "user", "sender_user": human_user(4004), "date": int(time.time())}
    reply = {"origin": origin, "chat": group_chat(-1004004004004), "message_id": 44}
    return message_json(text, external_reply=reply, quote={"text": quote, "position": 0, "is_manual": True}, **more)


# ---------------------------------------------------------------- what is not text


def file(file_id: str | None = None, size: int = 1_000, **more: Any) -> Json:
    """Returns a file stored at Telegram."""
    kept = file_id or f"AgACAgIAAxkBAAI{next(_files)}"
    return {"file_id": kept, "file_unique_id": f"AQAD{kept[-12:]}", "file_size": size, **more}


def photo(caption: str = "", *, file_id: str | None = None, size: int = 90_000, **more: Any) -> Json:
    """Returns a photo message with three sizes; the largest is last and has ``file_id``."""
    small = [file(width=width, height=width, size=width * 10) for width in (90, 320)]
    largest = file(file_id, size, width=1280, height=1280)
    return message_json(photo=[*small, largest], **caption_fields(caption), **more)


def document(
    caption: str = "",
    *,
    file_id: str | None = None,
    name: str = "notes.pdf",
    mime_type: str = "application/pdf",
    size: int = 1_000,
    **more: Any,
) -> Json:
    attached = file(file_id, size, file_name=name, mime_type=mime_type)
    return message_json(document=attached, **caption_fields(caption), **more)


def voice(*, file_id: str | None = None, seconds: int = 3, size: int = 9_000, caption: str = "", **more: Any) -> Json:
    attached = file(file_id, size, duration=seconds, mime_type="audio/ogg")
    return message_json(voice=attached, **caption_fields(caption), **more)


def album(
    captions: Iterable[str] = ("Look", "", ""), *, group_id: str = "13500000000000001", **more: Any
) -> list[Json]:
    """Returns the messages of an album, one for each photo."""
    return [photo(caption, media_group_id=group_id, **more) for caption in captions]


def migrated_to(chat_id: int = -2002, to: int = GROUP, **more: Any) -> Json:
    """Returns the last message of a group that became a supergroup."""
    return message_json(chat=chat_id, migrate_to_chat_id=to, **more)


def migrated_from(chat_id: int = GROUP, old: int = -2002, **more: Any) -> Json:
    """Returns the first message of the supergroup that a group became."""
    return message_json(chat=chat_id, migrate_from_chat_id=old, **more)
