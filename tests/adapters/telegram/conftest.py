"""A fake Telegram for each test, or for each module that asks for the running one; and replies brought to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.telegram.settings import TelegramSettings
from gateway import logs
from tests.adapters.telegram.reply_scene import MakeScene, scenes
from tests.fakes.telegram_server import FakeTelegram


@pytest.fixture(scope="module")
def running() -> Iterator[FakeTelegram]:
    with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture
async def make(telegram: FakeTelegram) -> AsyncIterator[MakeScene]:
    async with scenes(telegram) as make:
        yield make


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks the platform's tokens, as ``gateway.wiring.loading.load_settings`` does, without setting up logs."""
    masker = logs._SecretMasker()
    masker.configure((), TelegramSettings.token_patterns)
    monkeypatch.setattr(logs, "_masker", masker)
