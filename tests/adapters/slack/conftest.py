"""A fake Slack for each test, or for each module that asks for the running one; and replies brought to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.slack.settings import SlackSettings
from gateway import logs
from tests.adapters.slack.reply_scene import MakeScene, scenes
from tests.fakes.slack_server import FakeSlack


@pytest.fixture(scope="module")
def running() -> Iterator[FakeSlack]:
    with FakeSlack() as slack:
        yield slack


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as slack:
        yield slack


@pytest.fixture
async def make(slack: FakeSlack) -> AsyncIterator[MakeScene]:
    async with scenes(slack) as make:
        yield make


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks the platform's tokens, as ``gateway.wiring.loading.load_settings`` does, without setting up logs."""
    masker = logs._SecretMasker()
    masker.configure((), SlackSettings.token_patterns)
    monkeypatch.setattr(logs, "_masker", masker)
