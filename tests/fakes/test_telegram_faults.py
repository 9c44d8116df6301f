"""Injected faults and rate limits of the fake Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TelegramError

from tests.fakes import telegram_client
from tests.fakes.clock import Clock
from tests.fakes.telegram_messages import GROUP, USER
from tests.fakes.telegram_server import (
    ConnectionRefused,
    FakeTelegram,
    HttpStatus,
    PlatformFault,
    RateLimit,
    ResponseLost,
    TelegramErrorFault,
)


@pytest.fixture(autouse=True)
def _seconds_are_timedeltas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents the deprecation warning of RetryAfter: docs.python-telegram-bot.org, changelog of 22.2."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")


def texts(telegram: FakeTelegram) -> list[str]:
    return [shown.text for shown in telegram.messages()]


def answers(telegram: FakeTelegram) -> list[str]:
    return [call.summary for call in telegram.calls()]


@pytest.mark.parametrize(
    ("fault", "raised", "answered"),
    [
        (RateLimit(7), RetryAfter, "429"),
        (TelegramErrorFault(400, "message is not modified"), BadRequest, "400"),
        (TelegramErrorFault(403, "bot was blocked by the user"), Forbidden, "403"),
        (TelegramErrorFault(400, "upgraded", parameters={"migrate_to_chat_id": -1007}), ChatMigrated, "400"),
        (TelegramErrorFault(500, "Restart"), NetworkError, "500"),
        (HttpStatus(502), NetworkError, "502"),
    ],
)
async def test_a_call_answered_with_an_injected_fault_is_not_performed(
    telegram: FakeTelegram, bot: Bot, fault: PlatformFault, raised: type[TelegramError], answered: str
) -> None:
    telegram.faults.add("sendMessage", fault)
    with pytest.raises(raised):
        await bot.send_message(USER, "x")
    await bot.send_message(USER, "y")
    assert (texts(telegram), answers(telegram)) == (["y"], [answered, "ok"])


async def test_a_call_with_a_lost_answer_is_performed(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.faults.add("sendMessage", ResponseLost())
    with pytest.raises(NetworkError):
        await bot.send_message(USER, "x")
    assert texts(telegram) == ["x"]
    await telegram.wait_until_async(lambda: answers(telegram) == ["lost"])
    assert telegram.calls()[0].answer["result"]["message_id"] == telegram.messages()[0].message_id


async def test_a_call_on_a_refused_connection_is_not_performed(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.faults.add("sendMessage", ConnectionRefused())
    with pytest.raises(NetworkError):
        await bot.send_message(USER, "x")
    await telegram.wait_until_async(lambda: answers(telegram) == ["refused"])
    assert texts(telegram) == []


async def test_updates_in_a_lost_answer_stay_pending(telegram: FakeTelegram, bot: Bot) -> None:
    telegram.faults.add("getUpdates", ResponseLost())
    telegram.user_says("hi")
    with pytest.raises(NetworkError):
        await bot.get_updates()
    assert [found.message.text for found in await bot.get_updates() if found.message] == ["hi"]


# ---------------------------------------------------------------- limits


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(clock: Clock) -> Iterator[FakeTelegram]:
    with FakeTelegram(limits=True, clock=clock) as running:
        yield running


@pytest.fixture
async def bounded(limited: FakeTelegram) -> AsyncIterator[Bot]:
    async with telegram_client.bot_client(limited) as real:
        yield real


async def let_pass(bot: Bot, chat_id: int, tries: int) -> tuple[int, float]:
    """Returns how many of ``tries`` messages are accepted, and the retry_after of the last."""
    waits = [await told_to_wait(bot, chat_id) for _ in range(tries)]
    return waits.count(0), waits[-1]


async def told_to_wait(bot: Bot, chat_id: int) -> float:
    """Returns the seconds to wait; 0 when the message was accepted."""
    try:
        await bot.send_message(chat_id, "x")
    except RetryAfter as error:
        return error._retry_after.total_seconds()  # the public one may be a number or a timedelta
    return 0


async def test_a_private_chat_accepts_one_message_a_second_with_small_bursts(bounded: Bot, clock: Clock) -> None:
    assert await let_pass(bounded, USER, 5) == (3, 3)
    clock.now += 1.5
    assert await let_pass(bounded, USER, 1) == (0, 2)
    clock.now += 1.5
    assert await let_pass(bounded, USER, 3) == (3, 0)


async def test_a_group_accepts_twenty_messages_and_edits_a_minute(bounded: Bot, clock: Clock) -> None:
    first = await bounded.send_message(GROUP, "first")
    for number in range(19):
        clock.now += 1
        await bounded.edit_message_text(f"{number}", GROUP, first.message_id)
    clock.now += 1
    assert await let_pass(bounded, GROUP, 1) == (0, 40)
    assert await let_pass(bounded, USER, 1) == (1, 0), "another chat is not meant"
    clock.now += 40
    assert await let_pass(bounded, GROUP, 1) == (1, 0)


async def test_all_chats_together_accept_thirty_messages_a_second(
    limited: FakeTelegram, bounded: Bot, clock: Clock
) -> None:
    for chat_id in range(1, 41):
        limited.add_chat(chat_id)
    passed = [await let_pass(bounded, chat_id, 1) for chat_id in range(1, 41)]
    assert passed == [(1, 0)] * 30 + [(0, 1)] * 10
    clock.now += 1
    await bounded.send_chat_action(40, "typing")
    assert await let_pass(bounded, 40, 1) == (1, 0)


async def test_chat_actions_count_only_against_the_overall_limit(limited: FakeTelegram, bounded: Bot) -> None:
    for _ in range(20):
        await bounded.send_chat_action(USER, "typing")
    assert await let_pass(bounded, USER, 3) == (3, 0)
    for _ in range(7):
        await bounded.send_chat_action(USER, "typing")
    with pytest.raises(RetryAfter):
        await bounded.send_chat_action(USER, "typing")
    assert len(limited.actions()) == 27
