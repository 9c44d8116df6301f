"""Text messages of a bot in the fake Telegram, and the refusals of invalid ones."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageEntity,
    ReplyParameters,
)
from telegram.constants import ChatAction
from telegram.error import BadRequest, ChatMigrated, EndPointNotFound, Forbidden, InvalidToken

from tests.fakes import telegram_client
from tests.fakes.clock import Clock
from tests.fakes.telegram_messages import BOT_ID, GROUP, TOKEN, USER
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import UPDATE_KINDS, bot_message, group_chat, update


def texts(telegram: FakeTelegram, chat_id: int = USER) -> list[str]:
    return [shown.text for shown in telegram.messages(chat_id)]


async def test_get_me_returns_the_bot(bot: Bot) -> None:
    me = await bot.get_me()
    assert (me.id, me.username, me.is_bot, me.can_read_all_group_messages) == (BOT_ID, "gateway_bot", True, False)


async def test_a_message_keeps_its_entities_and_buttons(telegram: FakeTelegram, bot: Bot) -> None:
    markup = InlineKeyboardMarkup([[InlineKeyboardButton("again", callback_data="a")]])
    entities = [MessageEntity("bold", 0, 2), MessageEntity("text_link", 3, 1, url="https://example.com")]
    sent = await bot.send_message(USER, "ab c", entities=entities, reply_markup=markup)
    [shown] = telegram.messages()
    assert (shown.text, shown.from_bot, shown.message_id, shown.edited) == ("ab c", True, sent.message_id, False)
    assert [entity["type"] for entity in shown.entities] == ["bold", "text_link"]
    assert shown.markup == markup.to_dict()
    assert sent.reply_markup == markup
    assert sent.entities == tuple(entities)


async def test_form_and_json_bodies_are_equivalent(telegram: FakeTelegram) -> None:
    said = {"chat_id": str(USER), "text": "é"}
    marks = '[{"type":"bold","offset":0,"length":1}]'
    url = f"{telegram.base_url}{TOKEN}/sendmessage"
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.post(url, json={"chat_id": USER, "text": "é", "entities": json.loads(marks)})
        await session.post(url, data=aiohttp.FormData({**said, "entities": marks}))
        await session.get(url, params=said)
        await session.post(url, data={**said, "text": "%"})
    assert texts(telegram) == ["é", "é", "é", "%"]
    assert telegram.calls()[0].args == telegram.calls()[1].args


async def test_4096_utf16_units_are_accepted_and_no_more(telegram: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(USER, "😀" * 2048)
    with pytest.raises(BadRequest, match=r"^Message is too long$"):
        await bot.send_message(USER, "😀" * 2048 + "x")
    with pytest.raises(BadRequest, match=r"(?i)message_too_long"):
        await bot.edit_message_text("x" * 4097, USER, sent.message_id)
    assert len(telegram.messages()) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"text": " "}, "Text must be non-empty"),
        ({"chat_id": 99, "text": "x"}, "Chat not found"),
        ({"chat_id": "@nobody", "text": "x"}, "Chat not found"),
        ({"text": "x", "reply_to_message_id": 99}, "Message to be replied not found"),
        ({"text": "x", "message_thread_id": 99}, "Message thread not found"),
        ({"text": "x", "business_connection_id": "bc"}, "Business connection not found"),
        ({"text": "x", "parse_mode": "HTML"}, "Unsupported parse_mode"),
        ({"text": "x", "entities": [MessageEntity("bold", 0, 9)]}, "Entity beginning at"),
        ({"text": "x", "entities": [MessageEntity("text_link", 0, 1, url="/x")]}, "Entity url '/x' is invalid"),
    ],
)
async def test_an_invalid_message_is_refused(
    telegram: FakeTelegram, bot: Bot, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadRequest, match=f"(?i)^{why}"):
        await bot.send_message(**{"chat_id": USER, **arguments})
    assert telegram.messages() == []
    assert telegram.calls()[-1].summary == "400"


async def test_an_edit_must_change_a_message_of_the_bot(telegram: FakeTelegram, bot: Bot) -> None:
    theirs = telegram.user_says("hi")
    sent = await bot.send_message(USER, "a")
    edited = await bot.edit_message_text("b", USER, sent.message_id, entities=[MessageEntity("bold", 0, 1)])
    assert isinstance(edited, Message)
    assert (edited.text, edited.edit_date is not None) == ("b", True)
    for text, message_id, why in (("b", theirs, "can't be edited"), ("b", 99, "Message to edit not found")):
        with pytest.raises(BadRequest, match=why):
            await bot.edit_message_text(text, USER, message_id)
    with pytest.raises(BadRequest, match=r"^Message is not modified"):
        await bot.edit_message_text("b", USER, sent.message_id, entities=[MessageEntity("bold", 0, 1)])
    await bot.edit_message_text("b", USER, sent.message_id)
    shown = telegram.messages()[-1]
    assert (shown.text, shown.entities, shown.edited) == ("b", (), True)


async def test_a_reply_to_a_deleted_message_can_be_sent_without_reply(telegram: FakeTelegram, bot: Bot) -> None:
    theirs = telegram.user_says("hi")
    sent = await bot.send_message(USER, "a", reply_parameters=ReplyParameters(theirs))
    assert sent.reply_to_message is not None
    assert (sent.reply_to_message.text, telegram.bot_messages()[0].reply_to) == ("hi", theirs)
    telegram.user_deletes(theirs)
    await bot.send_message(USER, "b", reply_parameters=ReplyParameters(theirs, allow_sending_without_reply=True))
    assert telegram.bot_messages()[1].reply_to is None
    with pytest.raises(BadRequest, match="Message to be replied not found"):
        await bot.send_message(USER, "c", reply_parameters=ReplyParameters(theirs))


async def test_messages_are_deleted(telegram: FakeTelegram, bot: Bot) -> None:
    sent = [await bot.send_message(GROUP, text) for text in "abc"]
    theirs = telegram.user_says("d", chat_id=GROUP)
    await bot.delete_message(GROUP, sent[0].message_id)
    assert texts(telegram, GROUP) == ["b", "c", "d"]
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(GROUP, sent[0].message_id)
    with pytest.raises(BadRequest, match="Message can't be deleted"):
        await bot.delete_message(GROUP, theirs)


# ---------------------------------------------------------------- topics


async def test_topics_of_a_forum_and_of_a_private_chat(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.user_says("in a topic", chat_id=-1001, thread=5)
    telegram.add_chat(group_chat(GROUP, forum=True))
    telegram.add_topic(GROUP, 5)
    for chat_id in (GROUP, USER):
        telegram.add_topic(chat_id, 7)
        sent = await bot.send_message(chat_id, "x", message_thread_id=7)
        assert (sent.message_thread_id, sent.is_topic_message) == (7, True)
        assert [shown.text for shown in telegram.messages(chat_id, 7)] == ["x"]
        telegram.delete_topic(chat_id, 7)
        with pytest.raises(BadRequest, match="Message thread not found"):
            await bot.send_message(chat_id, "x", message_thread_id=7)
    with pytest.raises(BadRequest, match="Message thread not found"):
        await bot.send_message(GROUP, "x", message_thread_id=1)


async def test_a_thread_id_is_ignored_in_a_chat_without_topics(telegram: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "x", message_thread_id=99)
    assert (sent.message_thread_id, telegram.messages(GROUP)[0].thread) == (None, None)


# ---------------------------------------------------------------- drafts, actions


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_draft_is_visible_for_30_seconds_or_until_a_message(clock: Clock) -> None:
    with FakeTelegram(clock=clock) as telegram:
        async with telegram_client.bot_client(telegram) as bot:
            await bot.send_message_draft(USER, 1, "")
            await bot.send_message_draft(USER, 1, "a", entities=[MessageEntity("bold", 0, 1)])
            assert [(draft.draft_id, draft.text, len(draft.entities)) for draft in telegram.drafts()] == [(1, "a", 1)]
            await bot.send_message(USER, "ab")
            assert (telegram.drafts(), texts(telegram)) == ([], ["ab"])
            await bot.send_message_draft(USER, 2, "b")
            clock.now += 30
            assert telegram.drafts() == []


async def test_a_draft_belongs_to_its_topic(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.add_topic(USER, 5)
    await bot.send_message_draft(USER, 1, "in a topic", message_thread_id=5)
    await bot.send_message(USER, "elsewhere")
    assert [(draft.thread, draft.text) for draft in telegram.drafts()] == [(5, "in a topic")]


@pytest.mark.parametrize(("chat_id", "draft_id"), [(GROUP, 1), (USER, 0), (99, 1)])
async def test_a_draft_needs_a_private_chat_and_an_id(
    telegram: FakeTelegram, bot: Bot, chat_id: int, draft_id: int
) -> None:
    with pytest.raises(BadRequest):
        await bot.send_message_draft(chat_id, draft_id, "a")
    assert telegram.drafts(chat_id) == []


async def test_a_server_without_drafts_lacks_the_method() -> None:
    with FakeTelegram(drafts=False) as telegram:
        async with telegram_client.bot_client(telegram) as bot:
            with pytest.raises(InvalidToken):
                await bot.send_message_draft(USER, 1, "a")
            await bot.initialize()
            with pytest.raises(EndPointNotFound):
                await bot.do_api_request("sendRichMessage", {"chat_id": USER})
    assert [call.summary for call in telegram.calls()] == ["404", "ok", "404"]


async def test_a_user_can_stop_a_draft(telegram: FakeTelegram, bot: Bot) -> None:
    await bot.send_message_draft(USER, 1, "a", api_kwargs={"can_stop": True})
    telegram.press_stop(USER, 1)
    assert telegram.drafts() == []
    assert telegram.pending_updates()[-1]["stopped_message_generation"]["draft_id"] == 1
    await bot.send_message_draft(USER, 2, "a", api_kwargs={"can_stop": True, "keep_on_stop": True})
    telegram.press_stop(USER, 2)
    assert len(telegram.drafts()) == 1
    await bot.send_message_draft(USER, 3, "a")
    with pytest.raises(AssertionError, match="no Stop button"):
        telegram.press_stop(USER, 3)
    with pytest.raises(AssertionError, match="no draft 4"):
        telegram.press_stop(USER, 4)


async def test_typing_lasts_five_seconds(clock: Clock) -> None:
    with FakeTelegram(clock=clock) as telegram:
        async with telegram_client.bot_client(telegram) as bot:
            await bot.send_chat_action(USER, ChatAction.TYPING)
            assert telegram.is_typing()
            clock.now += 5
            assert not telegram.is_typing()
            await bot.send_chat_action(USER, ChatAction.TYPING)
            await bot.send_message(USER, "x")
            assert not telegram.is_typing(), "it has said what it typed"
            with pytest.raises(BadRequest, match=r"(?i)wrong parameter action"):
                await bot.send_chat_action(USER, "thinking")
    assert [action.action for action in telegram.actions()] == ["typing", "typing"]


# ---------------------------------------------------------------- access


async def test_a_message_to_a_user_who_blocked_the_bot_is_refused(telegram: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(USER, "a")
    telegram.block(USER)
    assert telegram.pending_updates()[-1]["my_chat_member"]["new_chat_member"]["status"] == "kicked"
    for call in (
        bot.send_message(USER, "b"),
        bot.edit_message_text("b", USER, sent.message_id),
        bot.send_chat_action(USER, "typing"),
        bot.send_message_draft(USER, 1, "b"),
    ):
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await call
    telegram.unblock(USER, notify_bot=False)
    await bot.send_message(USER, "c")
    assert texts(telegram) == ["a", "c"]
    assert len(telegram.pending_updates()) == 1


@pytest.mark.parametrize(
    ("chat_id", "kicked", "why"),
    [
        (GROUP, True, "bot was kicked from the supergroup chat"),
        (-77, True, "bot was kicked from the group chat"),
        (GROUP, False, "bot is not a member of the supergroup chat"),
    ],
)
async def test_a_message_to_a_group_without_the_bot_is_refused(
    telegram: FakeTelegram, bot: Bot, chat_id: int, *, kicked: bool, why: str
) -> None:
    telegram.remove_bot(chat_id, kicked=kicked)
    with pytest.raises(Forbidden, match=why):
        await bot.send_message(chat_id, "x")
    telegram.add_bot(chat_id)
    await bot.send_message(chat_id, "x")


async def test_a_migrated_group_names_its_supergroup(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.user_says("before", chat_id=-77)
    telegram.migrate(-77, -1007)
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(-77, "x")
    assert moved.value.new_chat_id == -1007
    await bot.send_message(-1007, "x")
    told = [
        next(iter(one["message"].keys() & {"migrate_to_chat_id", "migrate_from_chat_id"}), None)
        for one in telegram.pending_updates()
    ]
    assert told == [None, "migrate_to_chat_id", "migrate_from_chat_id"]


async def test_an_invalid_token_is_refused(telegram: FakeTelegram, bot: Bot) -> None:
    for wrong in ("123456:wrong-token", "wrong"):
        async with telegram_client.bot_client(telegram, wrong) as other:
            with pytest.raises(InvalidToken):
                await other.get_me()
    telegram.revoke_token()
    with pytest.raises(InvalidToken):
        await bot.get_me()
    assert {call.summary for call in telegram.calls()} == {"401"}


# ---------------------------------------------------------------- the rest


async def test_business_chats_are_separate_chats(telegram: FakeTelegram, bot: Bot) -> None:
    theirs = telegram.user_says("to the business", chat_id=7, business="bc")
    telegram.user_says("to the bot", chat_id=7)
    await bot.send_message(7, "answer", business_connection_id="bc", reply_parameters=ReplyParameters(theirs))
    await bot.send_chat_action(7, "typing", business_connection_id="bc")
    assert [shown.text for shown in telegram.messages(7, business="bc")] == ["to the business", "answer"]
    assert texts(telegram, 7) == ["to the bot"]
    assert (telegram.is_typing(7, business="bc"), telegram.is_typing(7)) == (True, False)
    assert "business_message" in telegram.pending_updates()[0]
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.send_message(8, "x", business_connection_id="bc")


async def test_commands_are_stored_by_scope(telegram: FakeTelegram, bot: Bot) -> None:
    await bot.set_my_commands([("new", "Begin anew")])
    assert telegram.commands == [{"command": "new", "description": "Begin anew"}]
    assert [command.command for command in await bot.get_my_commands()] == ["new"]
    await bot.set_my_commands([("stop", "Stop")], language_code="de")
    assert len(telegram.command_menus) == 2
    with pytest.raises(BadRequest, match=r"(?i)bot_command_invalid"):
        await bot.set_my_commands([("New", "Begin anew")])
    await bot.delete_my_commands()
    assert telegram.commands == []


async def test_a_message_that_is_pushed_can_be_answered(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.push_update(update(message=bot_message("before", chat=7, message_id=41)))
    telegram.push_update(update(guest_message=UPDATE_KINDS["guest_message"]))
    telegram.push_update(update(message={"message_id": "?", "chat": []}))
    sent = await bot.send_message(7, "x", reply_parameters=ReplyParameters(41))
    assert (sent.message_id, telegram.bot_messages(7)[0].text) == (42, "before")
    assert len(telegram.pending_updates()) == 3
