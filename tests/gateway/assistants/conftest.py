"""Fixtures for the tests of the backends: clients of the fake, and of a server that sends given bytes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

import httpx2
import openai
import pytest
from pydantic import SecretStr

from gateway.assistants.api_client import connect
from gateway.settings import Settings
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.raw_server import KEY, RawServer
from tests.fakes.shared_values import MemorySharedValues


@cache
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture(autouse=True)
def one_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares one TLS context: creating one takes 20 ms per client, and no test uses TLS."""
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda **_: tls_context())


@pytest.fixture
def facts() -> MemorySharedValues:
    return MemorySharedValues()


@pytest.fixture
async def connected() -> AsyncIterator[Callable[..., openai.AsyncOpenAI]]:
    """Returns a function that creates clients from settings."""
    clients: list[openai.AsyncOpenAI] = []

    def make(**settings: Any) -> openai.AsyncOpenAI:
        clients.append(connect(Settings(_env_file=None, **settings)))  # type: ignore[call-arg]  # pydantic-settings' own
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
