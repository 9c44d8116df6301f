"""Builds updates as Telegram sends them: core.telegram.org/bots/api#update, all kinds of Bot API 10.3. No server."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

from tests.fakes.telegram_messages import (
    BOT_ID,
    BOT_NAME,
    GENERAL_TOPIC,
    GROUP,
    SECRET,
    TOKEN,
    USER,
    Json,
    album,
    bot_message,
    bot_user,
    channel_chat,
    chat_of,
    detected_entities,
    document,
    entity,
    file,
    group_chat,
    human_user,
    mention,
    message_json,
    migrated_from,
    migrated_to,
    photo,
    private_chat,
    reply_to_other_chat,
    reply_with_quote,
    text_mention,
    utf16_length,
    voice,
)

__all__ = [
    "BOT_ID",
    "BOT_NAME",
    "GENERAL_TOPIC",
    "GROUP",
    "SECRET",
    "TOKEN",
    "UPDATE_KINDS",
    "USER",
    "Json",
    "album",
    "bot_added",
    "bot_blocked",
    "bot_message",
    "bot_removed",
    "bot_unblocked",
    "bot_user",
    "button_pressed",
    "channel_chat",
    "chat_of",
    "detected_entities",
    "document",
    "entity",
    "file",
    "generation_stopped",
    "group_chat",
    "human_user",
    "member_change",
    "mention",
    "message_json",
    "migrated_from",
    "migrated_to",
    "photo",
    "private_chat",
    "reply_to_other_chat",
    "reply_with_quote",
    "text_mention",
    "update",
    "utf16_length",
    "voice",
]

BUSINESS = "bc-0001"
DATE = 1_790_000_000

_update_ids = count(700_000_001)


def update(**kind: Any) -> Json:
    """``update(message=message_json("hi"))`` returns an update of one kind, with the next id unless ``update_id`` is
    given.
    """
    return kind if "update_id" in kind else {"update_id": next(_update_ids), **kind}


# ---------------------------------------------------------------- my_chat_member


def member_change(
    chat: Json | int, old: str, new: str, *, subject: Json | None = None, actor: Json | None = None
) -> Json:
    """Returns a my_chat_member change of ``subject`` (by default the bot) from status ``old`` to ``new``: kicked, left,
    member.
    """
    where = chat_of(chat)
    subject = subject or bot_user()
    acting = actor or human_user(where["id"] if where["type"] == "private" else USER)
    sides = {"old_chat_member": _member_entry(old, subject), "new_chat_member": _member_entry(new, subject)}
    return {"chat": where, "from": acting, "date": int(time.time()), **sides}


def _member_entry(status: str, who: Json) -> Json:
    more: Json = {"until_date": 0} if status == "kicked" else {}
    return {"user": who, "status": status, **more}


def bot_blocked(chat_id: int = USER) -> Json:
    """A user has blocked the bot."""
    return member_change(chat_id, "member", "kicked")


def bot_unblocked(chat_id: int = USER) -> Json:
    return member_change(chat_id, "kicked", "member")


def bot_added(chat: Json | int = GROUP) -> Json:
    """The bot was added to a group."""
    return member_change(chat, "left", "member")


def bot_removed(chat: Json | int = GROUP, *, kicked: bool = True) -> Json:
    """The bot was kicked from a group, or has left it."""
    return member_change(chat, "member", "kicked" if kicked else "left")


# ---------------------------------------------------------------- buttons


def button_pressed(data: str = "again", *, on: Json | None = None, user: int = USER) -> Json:
    """Returns a callback_query: a user has pressed a button of a message of the bot."""
    under = on or bot_message(chat=user)
    return {"id": "4382bfdwdsb323b2d9", "from": human_user(user), "message": under, "chat_instance": "-1", "data": data}


def generation_stopped(chat: Json | int = USER, draft_id: int = 1, thread: int | None = None) -> Json:
    """Returns a stopped_message_generation: a user has pressed Stop on a draft (Bot API 10.3)."""
    where = {} if thread is None else {"message_thread_id": thread}
    return {"chat": chat_of(chat), "draft_id": draft_id, **where}


# ---------------------------------------------------------------- every kind


def _boost_json() -> Json:
    source = {"source": "premium", "user": human_user()}
    return {"boost_id": "b1", "add_date": DATE, "expiration_date": DATE + 86_400, "source": source}


def _poll_json() -> Json:
    options = [{"text": text, "persistent_id": text, "voter_count": 1} for text in ("yes", "no")]
    plain = {"is_closed": False, "is_anonymous": True, "type": "regular", "allows_multiple_answers": False}
    more = {"allows_revoting": True, "members_only": False}
    return {"id": "p1", "question": "Shall we?", "options": options, "total_voter_count": 2, **plain, **more}


def _message_kinds() -> dict[str, Json]:
    posted = {"message_id": 12, "chat": channel_chat(), "sender_chat": channel_chat(), "date": DATE, "text": "News"}
    guest: Json = {"guest_query_id": "g1", "guest_bot_caller_user": human_user()}
    return {
        "message": message_json("Hello", message_id=11),
        "edited_message": message_json("Hello again", message_id=11, edited=True),
        "channel_post": posted,
        "edited_channel_post": {**posted, "edit_date": DATE + 1},
        "business_message": message_json("Hello", message_id=13, business=BUSINESS),
        "edited_business_message": message_json("Hello again", message_id=13, business=BUSINESS, edited=True),
        "guest_message": message_json("Hello", chat=group_chat(-1005005005005), message_id=14, **guest),
    }


def _business_kinds() -> dict[str, Json]:
    rights = {"can_reply": True, "can_read_messages": True}
    known = {"id": BUSINESS, "user": human_user(2002), "user_chat_id": 2002, "date": DATE, "is_enabled": True}
    return {
        "business_connection": {**known, "rights": rights},
        "deleted_business_messages": {"business_connection_id": BUSINESS, "chat": private_chat(), "message_ids": [13]},
        "managed_bot": {"user": human_user(), "bot": bot_user(id=654321, username="another_bot")},
        "subscription": {"user": human_user(), "invoice_payload": "month", "state": "active"},
        "purchased_paid_media": {"from": human_user(), "paid_media_payload": "picture"},
    }


def _query_kinds() -> dict[str, Json]:
    address = {"country_code": "DE", "state": "", "city": "Berlin", "street_line1": "a", "street_line2": "b"}
    price = {"currency": "XTR", "total_amount": 5, "invoice_payload": "month"}
    home = {**address, "post_code": "10115"}
    return {
        "inline_query": {"id": "q1", "from": human_user(), "query": "weather", "offset": "", "chat_type": "private"},
        "chosen_inline_result": {"result_id": "1", "from": human_user(), "query": "weather", "inline_message_id": "i1"},
        "callback_query": button_pressed(),
        "shipping_query": {"id": "s1", "from": human_user(), "invoice_payload": "month", "shipping_address": home},
        "pre_checkout_query": {"id": "c1", "from": human_user(), **price},
        "poll": _poll_json(),
        "poll_answer": {"poll_id": "p1", "option_ids": [0], "option_persistent_ids": ["yes"], "user": human_user()},
    }


def _chat_kinds() -> dict[str, Json]:
    heart = {"type": "emoji", "emoji": "❤"}
    reaction = {"chat": group_chat(), "message_id": 11, "date": DATE}
    return {
        "message_reaction": {**reaction, "user": human_user(), "old_reaction": [], "new_reaction": [heart]},
        "message_reaction_count": {**reaction, "reactions": [{"type": heart, "total_count": 3}]},
        "my_chat_member": bot_added(),
        "chat_member": member_change(GROUP, "left", "member", subject=human_user(3003)),
        "chat_join_request": {"chat": group_chat(), "from": human_user(3003), "user_chat_id": 3003, "date": DATE},
        "chat_boost": {"chat": channel_chat(), "boost": _boost_json()},
        "removed_chat_boost": {
            "chat": channel_chat(),
            "boost_id": "b1",
            "remove_date": DATE,
            "source": _boost_json()["source"],
        },
        "stopped_message_generation": generation_stopped(),
    }


UPDATE_KINDS: dict[str, Json] = _message_kinds() | _business_kinds() | _query_kinds() | _chat_kinds()
"""Example content for each documented kind of update: ``update(**{kind: UPDATE_KINDS[kind]})``."""
