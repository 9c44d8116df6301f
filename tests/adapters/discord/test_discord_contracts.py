"""Discord keeps what every adapter, delivery and preview promises."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from adapters.base.webhook import JSON
from adapters.discord.adapter import DiscordAdapter
from adapters.discord.interactions import SIGNATURE_HEADER, TIMESTAMP_HEADER
from gateway.ports.platform import Request, WebhookResponse
from gateway.worker.worker import run_once
from tests.adapters.discord.reply_scene import DiscordScene, MakeScene, settings
from tests.contracts.delivery import DeliveryContract
from tests.contracts.preview import PreviewContract
from tests.contracts.questions import QuestionContract
from tests.contracts.webhook import WebhookContract
from tests.fakes.discord_server import PUBLIC_KEY, SIGNING_KEY, FakeDiscord
from tests.fakes.discord_state import CHANNEL, GUILD, USER
from tests.fakes.memory import FakeMemory
from tests.fakes.unparsed_updates import FakeUnparsedUpdates


class TestDiscord(WebhookContract):
    secret_setting = "DISCORD_PUBLIC_KEY"
    acknowledgement = WebhookResponse(body='{"type": 5}', headers=JSON)

    @pytest.fixture
    async def adapter(self, discord: FakeDiscord, bot: str) -> AsyncIterator[DiscordAdapter]:
        here = settings(discord, discord_public_key=PUBLIC_KEY).for_bot(bot)
        adapter = DiscordAdapter(here, FakeMemory(), FakeUnparsedUpdates(), run_once)
        yield adapter
        await adapter.close()

    def said(self, text: str, mark: str) -> Request:
        event = {
            "id": str(int.from_bytes(mark.encode())),
            "type": 2,
            "token": "token",
            "guild_id": GUILD,
            "channel_id": CHANNEL,
            "member": {"user": {"id": USER}},
            "data": {"name": "ask", "options": [{"name": "text", "type": 3, "value": text}]},
        }
        return self.genuine(json.dumps(event).encode())

    def genuine(self, body: bytes) -> Request:
        timestamp = str(int(time.time()))
        signature = SIGNING_KEY.sign(timestamp.encode() + body).hex()
        return Request({SIGNATURE_HEADER: signature, TIMESTAMP_HEADER: timestamp}, body)

    def forged(self) -> Sequence[Request]:
        genuine = self.said("let me in", "1")
        late = {**genuine.headers, TIMESTAMP_HEADER: "1"}
        wrong = {**genuine.headers, SIGNATURE_HEADER: "ab" * 64}
        odd = {**genuine.headers, SIGNATURE_HEADER: "é"}
        return tuple(Request(headers, genuine.body) for headers in ({}, late, wrong, odd))

    def ignored(self) -> Sequence[Request]:
        return (self.genuine(b'{"type": 1}'), self.genuine(b'{"id": "5", "type": 9}'))


class TestDelivery(DeliveryContract):
    @pytest.fixture(params=["direct", "channel", "thread"])
    def scene(self, make_scene: MakeScene, request: pytest.FixtureRequest) -> DiscordScene:
        return make_scene(request.param)


class TestQuestions(QuestionContract):
    @pytest.fixture(params=["direct", "thread", "command"])
    def scene(self, make_scene: MakeScene, request: pytest.FixtureRequest) -> DiscordScene:
        return make_scene(request.param)


class TestPreview(PreviewContract):
    @pytest.fixture
    def scene(self, make_scene: MakeScene) -> DiscordScene:
        return make_scene()

    @pytest.fixture
    def slow_scene(self, make_slow_scene: MakeScene) -> DiscordScene:
        return make_slow_scene()
