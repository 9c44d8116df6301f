"""Telegram keeps what every adapter promises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from pydantic import SecretStr

from adapters.telegram.adapter import TelegramAdapter
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.update_parser import SECRET_HEADER
from gateway.domain.errors import SettingsError
from gateway.ports.platform import Request
from gateway.worker.worker import run_once
from tests.contracts.webhook import WebhookContract
from tests.fakes.memory import FakeMemory
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import (
    BOT_ID,
    BOT_NAME,
    GROUP,
    SECRET,
    TOKEN,
    UPDATE_KINDS,
    bot_user,
    message_json,
    update,
)
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.settings import settings_of

HEARD = {
    "message",
    "business_message",
    "edited_message",
    "edited_business_message",
    "deleted_business_messages",
    "stopped_message_generation",
}


def settings(**given: object) -> TelegramSettings:
    secrets = {"telegram_bot_token": SecretStr(TOKEN), "telegram_webhook_secret": SecretStr(SECRET)}
    return settings_of(TelegramSettings, **{**secrets, **given})


def request(payload: object, secret: str = SECRET) -> Request:
    return Request({SECRET_HEADER: secret}, json.dumps(payload).encode())


class TestTelegram(WebhookContract):
    secret_setting = "TELEGRAM_WEBHOOK_SECRET"

    @pytest.fixture
    async def adapter(self, bot: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TelegramAdapter]:
        monkeypatch.setenv("PTB_TIMEDELTA", "1")
        with FakeTelegram() as telegram:
            here = settings(telegram_api_url=telegram.url).for_bot(bot)
            memory = FakeMemory()
            memory.set_value(f"telegram:{BOT_ID}:username", BOT_NAME)
            adapter = TelegramAdapter(here, memory, FakeUnparsedUpdates(), run_once)
            yield adapter
            adapter.stop_receiving()
            await adapter.close()

    def said(self, text: str, mark: str) -> Request:
        number = int.from_bytes(mark.encode())
        return request(update(update_id=number, message=message_json(text, message_id=number)))

    def genuine(self, body: bytes) -> Request:
        return Request({SECRET_HEADER: SECRET}, body)

    def forged(self) -> Sequence[Request]:
        told = update(message=message_json("let me in"))
        return (Request({}, json.dumps(told).encode()), request(told, ""), request(told, "another"), request(told, "é"))

    def ignored(self) -> Sequence[Request]:
        quiet = [update(**{name: told}) for name, told in UPDATE_KINDS.items() if name not in HEARD]
        mine, overheard = message_json("said the bot", user=bot_user()), message_json("not to you", chat=GROUP)
        return tuple(request(each) for each in (*quiet, update(message=mine), update(message=overheard)))


def test_half_of_telegram_is_an_error_that_names_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="TELEGRAM_BOT_TOKEN"):
        _ = settings(telegram_bot_token=None).on
    assert not settings(telegram_bot_token=None, telegram_webhook_secret=None).on
