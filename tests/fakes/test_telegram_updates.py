"""The updates built for tests match those Telegram sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import MessageEntity, Update
from telegram.constants import ChatMemberStatus, UpdateType

from tests.fakes import telegram_updates as updates
from tests.fakes.telegram_updates import BOT_ID, BOT_NAME, GROUP, UPDATE_KINDS, Json, message_json, update

NEWER = {"subscription", "stopped_message_generation"}
"""Kinds of Bot API 10.2 and 10.3, which python-telegram-bot 22.8 does not know."""


def test_all_kinds_of_the_library_and_two_newer_ones_are_built() -> None:
    assert set(UPDATE_KINDS) == {str(kind.value) for kind in UpdateType} | NEWER


@pytest.mark.parametrize("kind", UPDATE_KINDS)
def test_the_library_parses_every_field_of_every_kind(kind: str) -> None:
    read = Update.de_json(update(**{kind: UPDATE_KINDS[kind]}))
    if kind in NEWER:
        assert read.api_kwargs == {kind: UPDATE_KINDS[kind]}
    else:
        assert getattr(read, kind).api_kwargs == {}


@given(before=st.text(alphabet="a😀é \n", max_size=9))
def test_entities_count_in_utf_16(before: str) -> None:
    read = Update.de_json(update(message=message_json(f"{before} @{BOT_NAME} /new@{BOT_NAME} x"))).message
    assert read is not None
    assert read.parse_entities([MessageEntity.MENTION]) == {read.entities[0]: f"@{BOT_NAME}"}
    assert read.parse_entities([MessageEntity.BOT_COMMAND]) == {read.entities[1]: f"/new@{BOT_NAME}"}


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("/start abc", ["bot_command"]),
        ("see a/b and x@example", []),
        ("@gateway_bot hi", ["mention"]),
        ("look: https://example.com/a.b.", ["url"]),
        ("<b>hi</b>", []),
    ],
)
def test_commands_mentions_and_links_are_detected(text: str, kinds: list[str]) -> None:
    assert [entity["type"] for entity in updates.detected_entities(text)] == kinds


@pytest.mark.parametrize(
    ("chat", "kind", "forum"),
    [
        (1001, "private", None),
        (-77, "group", None),
        (GROUP, "supergroup", None),
        (updates.group_chat(GROUP, forum=True), "supergroup", True),
        (updates.channel_chat(), "channel", None),
    ],
)
def test_the_chat_type_follows_from_the_chat_id(chat: Json | int, kind: str, forum: object) -> None:
    where = message_json("x", chat=chat)["chat"]
    assert (where["type"], where.get("is_forum")) == (kind, forum)


def test_a_topic_message_replies_to_the_message_that_opened_the_topic() -> None:
    said = message_json("x", chat=GROUP, thread=9)
    assert (said["is_topic_message"], said["message_thread_id"]) == (True, 9)
    assert said["reply_to_message"]["message_id"] == 9
    assert "reply_to_message" not in message_json("x", thread=9), "not in a private chat"
    assert "message_thread_id" not in message_json(
        "x", chat=updates.group_chat(forum=True), thread=updates.GENERAL_TOPIC
    )


def test_a_reply_contains_only_the_message_it_replies_to() -> None:
    first = message_json("a")
    second = message_json("b", reply_to=first)
    third = message_json("c", reply_to=second)
    assert third["reply_to_message"]["text"] == "b"
    assert "reply_to_message" not in third["reply_to_message"]


def test_a_quote_has_its_position() -> None:
    quoting = updates.reply_with_quote("why?", "world", message_json("😀 world"))
    assert quoting["quote"] == {"text": "world", "position": 3, "is_manual": True}


def test_an_album_is_several_messages_of_one_group() -> None:
    pieces = updates.album(["Look", "", "there"], chat=7)
    assert len({piece["media_group_id"] for piece in pieces}) == 1
    assert [piece.get("caption") for piece in pieces] == ["Look", None, "there"]
    assert len({piece["message_id"] for piece in pieces}) == 3


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (updates.bot_blocked(7), ChatMemberStatus.BANNED),
        (updates.bot_unblocked(7), ChatMemberStatus.MEMBER),
        (updates.bot_added(), ChatMemberStatus.MEMBER),
        (updates.bot_removed(), ChatMemberStatus.BANNED),
        (updates.bot_removed(kicked=False), ChatMemberStatus.LEFT),
    ],
)
def test_membership_updates_are_about_the_bot(told: Json, status: str) -> None:
    read = Update.de_json(update(my_chat_member=told)).my_chat_member
    assert read is not None
    assert (read.new_chat_member.user.id, read.new_chat_member.status) == (BOT_ID, status)
