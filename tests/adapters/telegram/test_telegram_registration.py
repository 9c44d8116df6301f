"""How Telegram gets to know of us: where the webhook is, what is in the menu, and when it has to be said again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from adapters.base.features import BotFeatures
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.registration import COMMANDS, CONNECTIONS, PATH, UPDATES, set_menu
from adapters.telegram.settings import TelegramSettings
from gateway.domain.errors import SettingsError
from tests.adapters.telegram.receiving import TelegramSite, by_webhook, ends_soon, make_receiver, settings
from tests.fakes.memory import FakeMemory
from tests.fakes.telegram_server import FakeTelegram, HangingCall, RateLimit, TelegramErrorFault
from tests.fakes.telegram_updates import SECRET, TOKEN
from tests.waiting import until

PUBLIC = "https://bot.example.com"


@contextmanager
def registering(*knowns: TelegramSettings) -> Iterator[list[TelegramSite]]:
    memory = FakeMemory()
    sites = [TelegramSite(known, memory=memory) for known in knowns]
    try:
        yield sites
    finally:
        for site in sites:
            site.receiver.stop_receiving()


def test_the_webhook_is_registered_where_the_public_is_sent() -> None:
    with FakeTelegram() as telegram, registering(by_webhook(telegram, public_url=f"{PUBLIC}/chat/")):
        webhook = telegram.wait_until(lambda: telegram.webhook)
        assert webhook is not None
        assert (webhook.url, webhook.secret) == (f"{PUBLIC}/chat{PATH}", SECRET)
        assert webhook.max_connections == CONNECTIONS
        assert telegram.allowed_updates == set(UPDATES)
        assert {call.args.get("drop_pending_updates") for call in telegram.calls("setWebhook")} <= {None, "false"}


def test_a_webhook_that_was_registered_otherwise_is_put_right() -> None:
    with FakeTelegram() as telegram:
        with registering(by_webhook(telegram, public_url="https://old.example.com")):
            telegram.wait_until(lambda: telegram.webhook)
        with registering(settings(telegram, secret="another", public_url=PUBLIC)):
            telegram.wait_until(lambda: telegram.webhook and telegram.webhook.secret == "another")
            assert telegram.webhook is not None
            assert telegram.webhook.url == f"{PUBLIC}{PATH}"


def test_without_a_public_url_the_webhook_is_left_to_the_operator() -> None:
    with FakeTelegram() as telegram, capture_logs() as logs, registering(by_webhook(telegram)):
        telegram.wait_until(lambda: telegram.commands)
        assert telegram.calls("setWebhook") == []
        assert "set-webhook URL" in str(logs)


def test_an_address_that_telegram_would_not_call_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"PUBLIC_URL.*https"):
        make_receiver(by_webhook(public_url="http://bot.example.com"), FakeMemory())
    make_receiver(settings(public_url="http://bot.example.com"), FakeMemory())


def test_the_commands_are_put_into_every_menu_once() -> None:
    with FakeTelegram() as telegram, registering(by_webhook(telegram)) as sites:
        site = sites[0]
        until(lambda: site.memory.get_value("telegram:123456:menu"))
        menu = [{"command": name, "description": what} for name, what in COMMANDS.items()]
        assert list(telegram.command_menus.values()) == [menu] * 3
        again = TelegramSite(site.known, memory=site.memory)
        again.receiver._background._executor.shutdown()  # type: ignore[union-attr]  # it has begun
        assert len(telegram.calls("getMe")) == 2
        assert len(telegram.calls("setMyCommands")) == 3


async def test_where_there_are_several_assistants_the_menu_has_the_commands_that_choose() -> None:
    with FakeTelegram() as telegram:
        known = settings(telegram)
        calls = TelegramClient(known)
        await set_menu(calls, known, FakeMemory(), BotFeatures(has_several_assistants=lambda: True))
        await calls.close()
        names = [each["command"] for each in next(iter(telegram.command_menus.values()))]
    assert names == ["new", "stop", "help", "assistant", "assistants"]


def test_where_groups_are_not_answered_they_are_shown_no_commands() -> None:
    with FakeTelegram() as telegram, registering(by_webhook(telegram, telegram_groups="never")) as sites:
        telegram.wait_until(lambda: sites[0].memory.get_value("telegram:123456:menu"))
        assert list(telegram.command_menus) == ['{"type":"all_private_chats"}']


def test_what_telegram_refuses_for_a_while_is_tried_again() -> None:
    with FakeTelegram() as telegram:
        telegram.faults.add("getMe", TelegramErrorFault(401))
        telegram.faults.add("setWebhook", RateLimit(1))
        telegram.faults.add("setMyCommands", TelegramErrorFault(400, skip=1))
        with capture_logs() as logs, registering(by_webhook(telegram, public_url=PUBLIC)):
            telegram.wait_until(lambda: telegram.webhook and len(telegram.command_menus) == 3)
        refused = [entry["error"] for entry in logs if entry["log_level"] in {"warning", "error"}]
        assert len(refused) == 3
        assert any("TELEGRAM_BOT_TOKEN" in str(entry) for entry in logs)
        assert TOKEN not in str(logs)
        assert SECRET not in str(logs)


def test_of_many_processes_one_registers_after_the_other() -> None:
    with FakeTelegram() as telegram:
        under_way, most = [0], [0]

        def count(by: int) -> None:
            under_way[0] += by
            most[0] = max(most[0], under_way[0])

        telegram.faults.before("setWebhook", lambda _: count(1))
        telegram.faults.after("setWebhook", lambda _: count(-1))
        known = by_webhook(telegram, public_url=PUBLIC)
        with registering(known, known, known):
            telegram.wait_until(lambda: len(telegram.calls("setWebhook")) == 3 and under_way[0] == 0)
        assert most == [1]


def test_a_start_and_an_end_do_not_wait_for_telegram() -> None:
    with FakeTelegram() as telegram:
        telegram.faults.add("getMe", HangingCall())
        site = TelegramSite(by_webhook(telegram, public_url=PUBLIC))
        until(lambda: telegram.faults.hanging)
        ends_soon(site.receiver.stop_receiving)
        ends_soon(site.receiver.stop_receiving)
        assert telegram.webhook is None
