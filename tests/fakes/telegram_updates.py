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
    bot,
    channel,
    document,
    entity,
    file,
    found,
    group,
    mention,
    message,
    migrated_from,
    migrated_to,
    person,
    photo,
    place,
    private,
    quoting,
    quoting_elsewhere,
    said_by_bot,
    text_mention,
    units,
    voice,
)

__all__ = [
    "BOT_ID",
    "BOT_NAME",
    "GENERAL_TOPIC",
    "GROUP",
    "KINDS",
    "SECRET",
    "TOKEN",
    "USER",
    "Json",
    "added",
    "album",
    "blocked",
    "bot",
    "channel",
    "document",
    "entity",
    "file",
    "found",
    "group",
    "member",
    "mention",
    "message",
    "migrated_from",
    "migrated_to",
    "person",
    "photo",
    "place",
    "pressed",
    "private",
    "quoting",
    "quoting_elsewhere",
    "removed",
    "said_by_bot",
    "stopped",
    "text_mention",
    "unblocked",
    "units",
    "update",
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


def member(chat: Json | int, old: str, new: str, *, who: Json | None = None, user: Json | None = None) -> Json:
    """Returns a my_chat_member change of ``subject`` (by default the bot) from status ``old`` to ``new``: kicked, left,
    member.
    """
    where = place(chat)
    who = who or bot()
    acting = user or person(where["id"] if where["type"] == "private" else USER)
    sides = {"old_chat_member": _standing(old, who), "new_chat_member": _standing(new, who)}
    return {"chat": where, "from": acting, "date": int(time.time()), **sides}


def _standing(status: str, who: Json) -> Json:
    more: Json = {"until_date": 0} if status == "kicked" else {}
    return {"user": who, "status": status, **more}


def blocked(chat_id: int = USER) -> Json:
    """A user has blocked the bot."""
    return member(chat_id, "member", "kicked")


def unblocked(chat_id: int = USER) -> Json:
    return member(chat_id, "kicked", "member")


def added(chat: Json | int = GROUP) -> Json:
    """The bot was added to a group."""
    return member(chat, "left", "member")


def removed(chat: Json | int = GROUP, *, kicked: bool = True) -> Json:
    """The bot was kicked from a group, or has left it."""
    return member(chat, "member", "kicked" if kicked else "left")


# ---------------------------------------------------------------- buttons


def pressed(data: str = "again", *, on: Json | None = None, user: int = USER) -> Json:
    """Returns a callback_query: a user has pressed a button of a message of the bot."""
    under = on or said_by_bot(chat=user)
    return {"id": "4382bfdwdsb323b2d9", "from": person(user), "message": under, "chat_instance": "-1", "data": data}


def stopped(chat: Json | int = USER, draft_id: int = 1, thread: int | None = None) -> Json:
    """Returns a stopped_message_generation: a user has pressed Stop on a draft (Bot API 10.3)."""
    where = {} if thread is None else {"message_thread_id": thread}
    return {"chat": place(chat), "draft_id": draft_id, **where}


# ---------------------------------------------------------------- every kind


def _boost() -> Json:
    source = {"source": "premium", "user": person()}
    return {"boost_id": "b1", "add_date": DATE, "expiration_date": DATE + 86_400, "source": source}


def _poll() -> Json:
    options = [{"text": text, "persistent_id": text, "voter_count": 1} for text in ("yes", "no")]
    plain = {"is_closed": False, "is_anonymous": True, "type": "regular", "allows_multiple_answers": False}
    more = {"allows_revoting": True, "members_only": False}
    return {"id": "p1", "question": "Shall we?", "options": options, "total_voter_count": 2, **plain, **more}


def _messages() -> dict[str, Json]:
    posted = {"message_id": 12, "chat": channel(), "sender_chat": channel(), "date": DATE, "text": "News"}
    guest: Json = {"guest_query_id": "g1", "guest_bot_caller_user": person()}
    return {
        "message": message("Hello", message_id=11),
        "edited_message": message("Hello again", message_id=11, edited=True),
        "channel_post": posted,
        "edited_channel_post": {**posted, "edit_date": DATE + 1},
        "business_message": message("Hello", message_id=13, business=BUSINESS),
        "edited_business_message": message("Hello again", message_id=13, business=BUSINESS, edited=True),
        "guest_message": message("Hello", chat=group(-1005005005005), message_id=14, **guest),
    }


def _business() -> dict[str, Json]:
    rights = {"can_reply": True, "can_read_messages": True}
    known = {"id": BUSINESS, "user": person(2002), "user_chat_id": 2002, "date": DATE, "is_enabled": True}
    return {
        "business_connection": {**known, "rights": rights},
        "deleted_business_messages": {"business_connection_id": BUSINESS, "chat": private(), "message_ids": [13]},
        "managed_bot": {"user": person(), "bot": bot(id=654321, username="another_bot")},
        "subscription": {"user": person(), "invoice_payload": "month", "state": "active"},
        "purchased_paid_media": {"from": person(), "paid_media_payload": "picture"},
    }


def _queries() -> dict[str, Json]:
    address = {"country_code": "DE", "state": "", "city": "Berlin", "street_line1": "a", "street_line2": "b"}
    price = {"currency": "XTR", "total_amount": 5, "invoice_payload": "month"}
    home = {**address, "post_code": "10115"}
    return {
        "inline_query": {"id": "q1", "from": person(), "query": "weather", "offset": "", "chat_type": "private"},
        "chosen_inline_result": {"result_id": "1", "from": person(), "query": "weather", "inline_message_id": "i1"},
        "callback_query": pressed(),
        "shipping_query": {"id": "s1", "from": person(), "invoice_payload": "month", "shipping_address": home},
        "pre_checkout_query": {"id": "c1", "from": person(), **price},
        "poll": _poll(),
        "poll_answer": {"poll_id": "p1", "option_ids": [0], "option_persistent_ids": ["yes"], "user": person()},
    }


def _around() -> dict[str, Json]:
    heart = {"type": "emoji", "emoji": "❤"}
    reaction = {"chat": group(), "message_id": 11, "date": DATE}
    return {
        "message_reaction": {**reaction, "user": person(), "old_reaction": [], "new_reaction": [heart]},
        "message_reaction_count": {**reaction, "reactions": [{"type": heart, "total_count": 3}]},
        "my_chat_member": added(),
        "chat_member": member(GROUP, "left", "member", who=person(3003)),
        "chat_join_request": {"chat": group(), "from": person(3003), "user_chat_id": 3003, "date": DATE},
        "chat_boost": {"chat": channel(), "boost": _boost()},
        "removed_chat_boost": {"chat": channel(), "boost_id": "b1", "remove_date": DATE, "source": _boost()["source"]},
        "stopped_message_generation": stopped(),
    }


KINDS: dict[str, Json] = _messages() | _business() | _queries() | _around()
"""Example content for each documented kind of update: ``update(**{kind: UPDATE_KINDS[kind]})``."""
