"""Fixtures for the tests of the backends: clients of the fake, and of a server that sends given bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from gateway.assistants.api_client import connect
from gateway.settings import Settings
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.raw_server import KEY, RawServer
from tests.fakes.shared_values import MemorySharedValues
from tests.settings import settings_of


@pytest.fixture
def facts() -> MemorySharedValues:
    return MemorySharedValues()


@pytest.fixture
async def connected() -> AsyncIterator[Callable[..., openai.AsyncOpenAI]]:
    """Returns a function that creates clients from settings."""
    clients: list[openai.AsyncOpenAI] = []

    def make(**settings: Any) -> openai.AsyncOpenAI:
        clients.append(connect(settings_of(Settings, **settings)))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
def client(fake: FakeOpenAI, connected: Callable[..., openai.AsyncOpenAI]) -> openai.AsyncOpenAI:
    return connected(openai_api_key=SecretStr(KEY), openai_base_url=fake.base_url)


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
def raw_client(raw: RawServer, connected: Callable[..., openai.AsyncOpenAI]) -> openai.AsyncOpenAI:
    return connected(openai_api_key=SecretStr(KEY), openai_base_url=f"http://127.0.0.1:{raw.port}/v1")
