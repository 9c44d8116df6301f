"""Updates fetched by getUpdates: kept until a later offset acknowledges them."""

from __future__ import annotations

import asyncio

import pytest
from telegram import Bot, Update
from telegram.error import Conflict

from tests.fakes.telegram_messages import GROUP
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import UPDATE_KINDS, message_json, update


def texts(updates: tuple[Update, ...]) -> list[str | None]:
    return [one.message.text if one.message is not None else None for one in updates]


def waiting(telegram: FakeTelegram, polls: int) -> bool:
    """Whether ``polls`` getUpdates calls have arrived and at least one is not answered."""
    calls = telegram.calls("getUpdates")
    return len(calls) == polls and any(not call.summary for call in calls)


async def test_updates_are_returned_until_a_later_offset_acknowledges_them(telegram: FakeTelegram, bot: Bot) -> None:
    for text in "abc":
        telegram.user_says(text)
    first = await bot.get_updates()
    assert texts(first) == texts(await bot.get_updates()) == ["a", "b", "c"]
    assert texts(await bot.get_updates(offset=first[1].update_id)) == ["b", "c"]
    assert len(telegram.pending_updates()) == 2
    assert await bot.get_updates(offset=first[2].update_id + 1) == ()
    assert telegram.pending_updates() == []
    telegram.wait_until_acknowledged()


async def test_a_long_poll_ends_with_the_first_update(telegram: FakeTelegram, bot: Bot) -> None:
    poll = asyncio.ensure_future(bot.get_updates(timeout=50))
    await telegram.wait_until_async(lambda: waiting(telegram, 1))
    telegram.user_says("hi")
    assert texts(await poll) == ["hi"]


async def test_a_second_long_poll_ends_the_first_with_conflict(telegram: FakeTelegram, bot: Bot) -> None:
    first = asyncio.ensure_future(bot.get_updates(timeout=50))
    await telegram.wait_until_async(lambda: waiting(telegram, 1))
    second = asyncio.ensure_future(bot.get_updates(timeout=50))
    with pytest.raises(Conflict, match=r"(?i)terminated by other getUpdates request"):
        await first
    telegram.user_says("hi")
    assert texts(await second) == ["hi"]


async def test_a_webhook_and_polling_exclude_each_other(telegram: FakeTelegram, bot: Bot) -> None:
    poll = asyncio.ensure_future(bot.get_updates(timeout=50))
    await telegram.wait_until_async(lambda: waiting(telegram, 1))
    await bot.set_webhook("http://127.0.0.1:1/")
    with pytest.raises(Conflict, match="terminated by setWebhook"):
        await poll
    with pytest.raises(Conflict, match="can't use getUpdates method while webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert await bot.get_updates() == ()


async def test_only_allowed_updates_are_queued(telegram: FakeTelegram, bot: Bot) -> None:
    def push() -> None:
        for kind in ("message", "message_reaction", "callback_query"):
            telegram.push_update(update(**{kind: UPDATE_KINDS[kind]}))

    def kinds() -> list[str]:
        return [name for found in telegram.pending_updates() for name in found if name != "update_id"]

    push()
    assert kinds() == ["message", "callback_query"], "reactions only for those who ask"
    await bot.get_updates(offset=-1, allowed_updates=["message_reaction", "stopped_message_generation"])
    push()
    assert kinds() == ["callback_query", "message_reaction"], "what is there stays"
    await bot.get_updates(offset=telegram.pending_updates()[-1]["update_id"])
    push()
    assert kinds() == ["message_reaction"] * 2, "what was asked for last goes on"
    await bot.get_updates(allowed_updates=[])
    push()
    assert kinds()[2:] == ["message", "callback_query"]


async def test_every_kind_of_update_can_be_fetched(telegram: FakeTelegram, bot: Bot) -> None:
    await bot.get_updates(allowed_updates=list(UPDATE_KINDS))
    for kind, told in UPDATE_KINDS.items():
        telegram.push_update(update(**{kind: told}))
    assert len(await bot.get_updates()) == len(UPDATE_KINDS)


async def test_an_acknowledged_update_can_be_redelivered(telegram: FakeTelegram, bot: Bot) -> None:
    hello = update(message=message_json("hi", chat=GROUP))
    telegram.push_update(hello)
    offset = (await bot.get_updates())[0].update_id + 1
    assert await bot.get_updates(offset=offset) == ()
    telegram.redeliver(hello)
    assert texts(await bot.get_updates(offset=offset)) == ["hi"]
    assert await bot.get_updates(offset=offset) == ()


async def test_pending_updates_survive_a_restart_of_the_fake(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.user_says("before")
    telegram.stop()
    telegram.user_says("meanwhile")
    telegram.start()
    assert texts(await bot.get_updates()) == ["before", "meanwhile"]
