"""What the operator is told: whether Telegram takes the token, how updates come, what the bot sees in groups."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.telegram.api_client import TelegramClient
from adapters.telegram.registration import PATH, UPDATES, set_webhook
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.setup_check import check
from gateway.ports.check import CheckResult
from tests.adapters.telegram.receiving import by_webhook, settings
from tests.fakes.telegram_server import FakeTelegram, TelegramErrorFault
from tests.fakes.telegram_updates import BOT_NAME, SECRET, TOKEN

PUBLIC = "https://bot.example.com"


async def lines(known: TelegramSettings) -> dict[str, CheckResult]:
    calls = TelegramClient(known, timeout=5.0)
    try:
        found = await check(known, calls)
    finally:
        await calls.close()
    assert TOKEN not in str(found)
    assert SECRET not in str(found)
    return {line.name: line for line in found}


async def updates(known: TelegramSettings) -> CheckResult:
    return (await lines(known))["telegram updates"]


async def register(telegram: FakeTelegram, url: str, **given: Any) -> None:
    calls = TelegramClient(by_webhook(telegram), timeout=5.0)
    await calls.call("set_webhook", delivery=None, url=url, **given)
    await calls.close()


# ---------------------------------------------------------------- the token


async def test_a_token_that_is_taken_is_named_by_its_bot(telegram: FakeTelegram) -> None:
    found = await lines(settings(telegram))
    assert list(found) == ["telegram", "telegram updates", "telegram groups"]
    assert found["telegram"] == CheckResult("telegram", ok=True, detail=f"bot @{BOT_NAME}")
    assert all(line.ok for line in found.values())


async def test_a_token_that_is_not_taken_is_the_one_thing_told(telegram: FakeTelegram) -> None:
    telegram.revoke_token()
    found = await lines(settings(telegram))
    assert [(line.name, line.ok) for line in found.values()] == [("telegram", False)]
    assert "TELEGRAM_BOT_TOKEN" in found["telegram"].detail


async def test_a_telegram_that_is_away_is_told(telegram: FakeTelegram) -> None:
    telegram.stop()
    found = await lines(settings(telegram))
    assert [(line.name, line.ok) for line in found.values()] == [("telegram", False)]


# ---------------------------------------------------------------- fetched


async def test_updates_are_fetched_where_there_is_no_webhook(telegram: FakeTelegram) -> None:
    telegram.user_says("one")
    telegram.user_says("two")
    assert await updates(settings(telegram)) == CheckResult(
        "telegram updates", ok=True, detail="fetched by long polling; 2 wait"
    )


async def test_a_webhook_of_somebody_else_keeps_updates_from_being_fetched(telegram: FakeTelegram) -> None:
    await register(telegram, f"https://other.example.com/{TOKEN}")
    for known in (settings(telegram), settings(telegram, public_url=PUBLIC)):
        line = await updates(known)
        assert not line.ok
        assert "other.example.com" in line.detail
        assert "delete-webhook" in line.detail


async def test_a_webhook_of_ours_from_before_is_no_trouble(telegram: FakeTelegram) -> None:
    await register(telegram, f"{PUBLIC}{PATH}")
    assert (await updates(settings(telegram, public_url=PUBLIC))).ok


# ---------------------------------------------------------------- webhook


async def register_ours(known: TelegramSettings, url: str = f"{PUBLIC}{PATH}") -> None:
    calls = TelegramClient(known, timeout=5.0)
    await set_webhook(calls, known, url)
    await calls.close()


@pytest.mark.parametrize("public_url", [PUBLIC, None])
async def test_a_webhook_that_is_as_it_should_be_is_told(telegram: FakeTelegram, public_url: str | None) -> None:
    known = by_webhook(telegram, public_url=public_url)
    await register_ours(known)
    assert await updates(known) == CheckResult("telegram updates", ok=True, detail=f"received at POST {PATH}")


@pytest.mark.parametrize(("public_url", "advice"), [(PUBLIC, "when the gateway starts"), (None, "set-webhook URL")])
async def test_a_webhook_that_is_missing_is_told(telegram: FakeTelegram, public_url: str | None, advice: str) -> None:
    known = by_webhook(telegram, public_url=public_url)
    line = await updates(known)
    assert not line.ok
    assert "no webhook is registered" in line.detail
    assert advice in line.detail
    await register(telegram, "https://other.example.com/path", allowed_updates=list(UPDATES))
    line = await updates(known)
    assert not line.ok
    assert "other.example.com;" in line.detail


async def test_a_public_url_that_is_no_place_for_a_webhook_is_told() -> None:
    with FakeTelegram() as telegram:
        line = await updates(by_webhook(telegram, public_url="ftp://bot.example.com"))
        assert not line.ok
        assert line.detail.startswith("PUBLIC_URL: ")


async def test_a_webhook_that_is_not_told_everything_is_told(telegram: FakeTelegram) -> None:
    await register(telegram, f"{PUBLIC}{PATH}", allowed_updates=["message"])
    line = await updates(by_webhook(telegram))
    assert not line.ok
    assert "set-webhook" in line.detail


async def test_what_telegram_could_not_bring_is_told(telegram: FakeTelegram) -> None:
    nobody = "http://127.0.0.1:9"
    known = by_webhook(telegram, public_url=nobody)
    await register_ours(known, f"{nobody}{PATH}")
    telegram.user_says("hello")
    await telegram.wait_until_async(lambda: telegram.deliveries)
    line = await updates(known)
    assert not line.ok
    assert "Telegram could not deliver an update: " in line.detail
    assert line.detail.endswith("; 1 wait")


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("reads_all", "groups", "told"),
    [
        (False, "mention", "privacy mode is on"),
        (False, "always", "/setprivacy"),
        (False, "never", "not answered"),
        (True, "always", "privacy mode is off"),
        (True, "never", "not answered"),
    ],
)
async def test_what_the_bot_sees_in_groups_is_said_plainly(reads_all: bool, groups: str, told: str) -> None:  # noqa: FBT001  # a parameter of the test
    with FakeTelegram(me={"can_read_all_group_messages": reads_all}) as telegram:
        line = (await lines(settings(telegram, telegram_groups=groups)))["telegram groups"]
    assert line.ok
    assert told in line.detail


async def test_a_server_that_stumbles_over_the_second_question_is_told(telegram: FakeTelegram) -> None:
    telegram.faults.add("getWebhookInfo", TelegramErrorFault(500))
    found = await lines(settings(telegram))
    assert [(line.name, line.ok) for line in found.values()] == [("telegram", False)]
