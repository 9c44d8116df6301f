"""The backend ``offline``: the contract, without a server and without the SDK."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.assistants.offline import OfflineBackend, compose_reply
from gateway.domain.exchange import Exchange
from gateway.domain.models import ConversationKey, Message
from tests.contracts.assistant import AssistantContract
from tests.contracts.assistant_session import AssistantSession

KEY = ConversationKey("test")


class TestOffline(AssistantContract):
    @pytest.fixture
    def assistant(self) -> OfflineBackend:
        return OfflineBackend()

    async def test_there_is_no_model(self, session: AssistantSession) -> None:
        await session.say("Hello")
        assert session.answer.model == ""

    async def test_the_reply_is_deterministic(self, assistant: OfflineBackend) -> None:
        assert await AssistantSession(assistant).say("Hello") == await AssistantSession(assistant).say("Hello")


def test_the_reply_explains_the_backend_and_the_settings() -> None:
    reply = compose_reply(Message(KEY, "m1", "Hello"), [])
    assert "offline" in reply
    assert "OPENAI_API_KEY" in reply


def test_the_reply_shows_the_history() -> None:
    past = [Exchange("first", "a"), Exchange("second", "b")]
    reply = compose_reply(Message(KEY, "m3", "third " * 50), past)
    assert "message 3" in reply
    assert "“first”" in reply
    assert "“second”" in reply
    assert len(reply) < 400


def test_the_vendors_sdk_is_not_imported() -> None:
    program = (
        "import sys; from gateway.assistants import build; from gateway.settings import Settings; "
        "from gateway.tools import ToolBox; "
        "build(Settings(_env_file=None, assistant_backend='offline'), ToolBox([]), None); "
        "sys.exit('openai' in sys.modules or 'aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
