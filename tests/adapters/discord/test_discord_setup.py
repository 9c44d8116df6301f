"""Settings, the check, and the dry run."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from adapters.base.errors import OutcomeUnknown
from adapters.discord import api_client
from adapters.discord.adapter import DiscordAdapter
from adapters.discord.api_client import DiscordClient
from adapters.discord.settings import DiscordSettings
from gateway.domain.errors import MalformedRequest, SettingsError
from gateway.ports.platform import SyntheticMessage
from gateway.worker.worker import run_once
from tests.adapters.discord.reply_scene import settings
from tests.fakes.discord_server import PUBLIC_KEY, FakeDiscord
from tests.fakes.discord_state import TOKEN
from tests.fakes.memory import FakeMemory
from tests.fakes.raw_server import RawServer
from tests.fakes.unparsed_updates import FakeUnparsedUpdates


def adapter(discord: FakeDiscord, **given: str) -> DiscordAdapter:
    return DiscordAdapter(settings(discord, **given), FakeMemory(), FakeUnparsedUpdates(), run_once)


def details(discord: FakeDiscord, **given: str) -> dict[str, tuple[bool, str]]:
    made = adapter(discord, **given)

    async def check() -> dict[str, tuple[bool, str]]:
        try:
            return {line.name: (line.ok, line.detail) for line in await made.check()}
        finally:
            await made.close()

    return run_once(check())


def test_the_check_says_who_the_bot_is_and_how_interactions_arrive() -> None:
    with FakeDiscord() as discord:
        lines = details(discord)
    assert lines["discord"] == (True, "bot gateway, in 1 servers")
    assert lines["discord intents"][0]
    assert "gateway connection" in lines["discord interactions"][1]


def test_the_check_names_a_missing_intent_and_an_address_without_a_key() -> None:
    with FakeDiscord() as discord:
        discord.state.application_flags = 0
        discord.state.interactions_url = "https://bot.example.com/discord/interactions"
        lines = details(discord)
        with_key = details(discord, discord_public_key=PUBLIC_KEY)
    assert not lines["discord intents"][0]
    assert "Privileged Gateway Intents" in lines["discord intents"][1]
    assert "DISCORD_PUBLIC_KEY" in lines["discord interactions"][1]
    assert with_key["discord interactions"][0]


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [(0x8, ""), ((1 << 45) - 1 & ~(1 << 3 | 1 << 16), "missing in Test: Read Message History.")],
)
def test_the_check_names_a_missing_permission_and_where(permissions: int, missing: str) -> None:
    with FakeDiscord() as discord:
        discord.state.permissions = permissions
        ok, detail = details(discord)["discord permissions"]
    assert ok is not bool(missing)
    assert missing in detail


def test_the_check_says_that_the_token_is_refused() -> None:
    with FakeDiscord() as discord:
        lines = details(discord, discord_bot_token=TOKEN.replace("secret", "wrong"))
    assert not lines["discord"][0]
    assert "DISCORD_BOT_TOKEN" in lines["discord"][1]


@pytest.mark.parametrize(
    "given", [{"discord_bot_token": "123"}, {"discord_public_key": "abc"}, {"discord_scope": "guild"}]
)
def test_settings_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        DiscordSettings.model_validate(given)


def test_half_of_discord_names_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="DISCORD_BOT_TOKEN"):
        _ = DiscordSettings.model_validate({"discord_public_key": PUBLIC_KEY}).on
    assert not DiscordSettings.model_validate({}).on


def test_the_dry_run_reads_a_message_as_discord_would_send_it() -> None:
    with FakeDiscord() as discord:
        made = adapter(discord)
        supposed = SyntheticMessage("hello", workspace="1", channel="2", user="3")
        assert made.dry_run(supposed).messages == ()
        mentioned = SyntheticMessage("hello", workspace="1", channel="2", user="3", mentions_bot=True)
        (message,) = made.dry_run(mentioned).messages
        assert message.text == "hello"
        with pytest.raises(MalformedRequest):
            made.dry_run(SyntheticMessage("hello", channel="general"))
        run_once(made.close())


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "MAX_ANSWER_BYTES", 1000)
    async with RawServer() as server:
        server.add_response(b'{"id": "' + b"1" * 1000 + b'"}')
        given = {"discord_bot_token": TOKEN, "discord_api_url": server.url}
        client = DiscordClient(DiscordSettings.model_validate(given))
        with pytest.raises(OutcomeUnknown, match="longer than 1000 bytes"):
            await client.call("POST messages", "/channels/1/messages", body={"content": "x"})
        await client.close()
