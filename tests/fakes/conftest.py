"""Fixtures: a fake per test, and the real SDK configured as strictly as possible against it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI
from telegram import Bot

from tests.fakes import telegram_client
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.telegram_server import FakeTelegram


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
async def client(fake: FakeOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=fake.base_url,
        api_key="key",
        max_retries=0,
        timeout=20,
        http_client=DefaultAsyncHttpxClient(verify=False),  # loopback needs no certificates; loading them takes 20 ms
        _strict_response_validation=True,
    ) as strict:
        yield strict


@pytest.fixture
def sync_client(fake: FakeOpenAI) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=fake.base_url,
        api_key="key",
        max_retries=0,
        timeout=20,
        http_client=DefaultHttpxClient(verify=False),
        _strict_response_validation=True,
    ) as strict:
        yield strict


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    with FakeTelegram() as running:
        yield running


@pytest.fixture
async def bot(telegram: FakeTelegram) -> AsyncIterator[Bot]:
    async with telegram_client.bot_client(telegram) as real:
        yield real
