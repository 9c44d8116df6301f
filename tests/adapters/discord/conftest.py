"""One fake Discord for all tests of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.adapters.discord.reply_scene import MakeScene, scenes
from tests.fakes.discord_server import FakeDiscord


@pytest.fixture(scope="session")
def shared_discord() -> Iterator[FakeDiscord]:
    with FakeDiscord() as discord:
        yield discord


@pytest.fixture
def discord(shared_discord: FakeDiscord) -> Iterator[FakeDiscord]:
    yield shared_discord
    shared_discord.faults.clear()


@pytest.fixture
async def make_scene(discord: FakeDiscord) -> AsyncIterator[MakeScene]:
    async with scenes(discord, pace=0.002) as make:
        yield make


@pytest.fixture
async def make_slow_scene(discord: FakeDiscord) -> AsyncIterator[MakeScene]:
    async with scenes(discord, pace=60) as make:
        yield make
