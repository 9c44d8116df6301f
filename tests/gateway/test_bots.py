"""Several bots on one platform, as ``[[bots]]`` describes them: nothing of one is taken for the other's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from adapters.telegram.update_parser import SECRET_HEADER
from gateway.cli import commands
from gateway.cli.check import check
from gateway.cli.explain import explain
from gateway.domain.models import ConversationKey, Turn, TurnState
from gateway.ports.platform import SyntheticMessage
from gateway.wiring.loading import load_settings
from gateway.wiring.running_gateway import Gateway
from storage import migrations
from tests.adapters.app_client import AppClient
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import BotAccount
from tests.fakes.slack_events import event_envelope, message_event, signed_headers
from tests.fakes.slack_server import FakeSlack
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import BOT_ID, BOT_NAME, GROUP, SECRET, TOKEN, USER, message_json, update
from tests.gateway.served_gateway import run_gateway
from tests.storage.older_schema import bring_to
from tests.waiting import until

SALES = 777001
SALES_TOKEN = f"{SALES}:abcdef-of-sales"
SOON = 20.0
ASSISTANTS = """
[assistants.default]
backend = "offline"
[assistants.support]
backend = "offline"
"""


@dataclass
class Site:
    """A gateway with what the environment and the file say, in a folder of its own."""

    folder: Path
    stack: ExitStack

    def open(self, file: str) -> Gateway:
        (self.folder / "gateway.toml").write_text(ASSISTANTS + file)
        settings = load_settings(quiet=True)
        migrations.upgrade(settings.database_url)
        return self.stack.enter_context(run_gateway(settings))

    def client(self, gateway: Gateway) -> AppClient:
        return AppClient(gateway.web(), gateway.worker._loop)


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


@pytest.fixture
def telegrams(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeTelegram, FakeTelegram]]:
    """What the unnamed bot sees of Telegram, and the bot ``sales``: both count updates and messages alike."""
    with FakeTelegram() as unnamed, FakeTelegram(token=SALES_TOKEN, me={"id": SALES}) as sales:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("TELEGRAM_API_URL", unnamed.url)
        yield unnamed, sales


def sales_bot(telegram: FakeTelegram, more: str = "") -> str:
    return f"""
[[bots]]
platform = "telegram"
name = "sales"
token = "{SALES_TOKEN}"
api_url = "{telegram.url}"
assistant = "support"
{more}
"""


def delivered(gateway: Gateway, platform: str, message_id: str) -> Turn:
    """Waits for a turn."""

    def look() -> Turn | None:
        turn = gateway.store.find_turn_by_message(platform, message_id)
        return turn if turn is not None and turn.state is TurnState.DELIVERED else None

    return until(look, SOON)


def test_two_bots_fetch_and_answer_in_one_group(site: Site, telegrams: tuple[FakeTelegram, FakeTelegram]) -> None:
    gateway = site.open(sales_bot(telegrams[1]))
    gateway.listen()
    said = [each.user_says(f"@{BOT_NAME} hello", chat_id=GROUP) for each in telegrams]
    assert said[0] == said[1]
    first = delivered(gateway, "telegram", f"{BOT_ID}:{GROUP}:{said[0]}")
    second = delivered(gateway, "telegram:sales", f"{SALES}:{GROUP}:{said[0]}")
    assert first.message.key == ConversationKey("telegram", str(BOT_ID), str(GROUP))
    assert second.message.key == ConversationKey("telegram:sales", str(SALES), str(GROUP))
    assert (first.assistant, second.assistant) == ("default", "support")
    for each in telegrams:
        each.wait_until_acknowledged()
        assert len(each.bot_messages(GROUP)) == 1
    for bot in (BOT_ID, SALES):
        assert not gateway.store.try_lock(f"telegram:{bot}:poll", "another process", 1.0)


def test_each_bot_has_a_webhook_with_its_own_secret(
    site: Site, telegrams: tuple[FakeTelegram, FakeTelegram], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:9")
    gateway = site.open(sales_bot(telegrams[1], 'webhook_secret = "of-sales"'))
    client = site.client(gateway)
    body = update(update_id=5, message=message_json("hello", message_id=7))

    def post(path: str, secret: str) -> int:
        return client.post(path, json=body, headers={SECRET_HEADER: secret}).status_code

    wanted = ("http://127.0.0.1:9/telegram/webhook", "http://127.0.0.1:9/telegram/sales/webhook")
    for each, url in zip(telegrams, wanted, strict=True):
        each.wait_until(partial(has_webhook, each, url), SOON)
    chat = body["message"]["chat"]["id"]
    assert post("/telegram/sales/webhook", SECRET) == post("/telegram/webhook", "of-sales") == 401
    assert post("/telegram/webhook", SECRET) == post("/telegram/sales/webhook", "of-sales") == 200
    assert delivered(gateway, "telegram", f"{BOT_ID}:{chat}:7").assistant == "default"
    assert delivered(gateway, "telegram:sales", f"{SALES}:{chat}:7").assistant == "support"


def has_webhook(telegram: FakeTelegram, url: str) -> bool:
    return telegram.webhook is not None and telegram.webhook.url == url


def test_two_slack_apps_in_one_workspace_each_answer_the_same_message(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeSlack() as unnamed, FakeSlack() as desk:
        desk.add_workspace("T0TEAM", token="xoxb-of-the-desk")
        monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-fake")
        monkeypatch.setenv("SLACK_SIGNING_SECRET", "of-the-first-app")
        monkeypatch.setenv("SLACK_API_URL", unnamed.api_url)
        gateway = site.open(
            f"""
            [[bots]]
            platform = "slack"
            name = "desk"
            token = "xoxb-of-the-desk"
            signing_secret = "of-the-desk"
            api_url = "{desk.api_url}"
            assistant = "support"
            """
        )
        client = site.client(gateway)
        event = message_event("hello", channel="D0DM", channel_type="im", ts="1700.000100")
        body = json.dumps(event_envelope(event)).encode()

        def post(path: str, secret: str) -> int:
            return client.post(path, data=body, headers=signed_headers(body, secret=secret)).status_code

        assert post("/slack/desk/events", "of-the-first-app") == 401
        assert post("/slack/events", "of-the-first-app") == post("/slack/desk/events", "of-the-desk") == 200
        first = delivered(gateway, "slack", "T0TEAM:D0DM:1700.000100")
        second = delivered(gateway, "slack:desk", "T0TEAM:D0DM:1700.000100")
        assert replace(second.message.key, platform="slack") == first.message.key
        assert (first.assistant, second.assistant) == ("default", "support")
        assert {each.token for each in unnamed.calls("chat.postMessage")} == {"xoxb-fake"}
        assert {each.token for each in desk.calls("chat.postMessage")} == {"xoxb-of-the-desk"}


def test_two_discord_bots_receive_and_answer_in_one_channel(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    account = BotAccount("MTIzNDU2Nzg5MDEyMzQ1Njc4OTE.Gabcde.secret-of-the-desk-secret-of-the-desk-abc", "9101", "9102")
    with FakeDiscord() as unnamed, FakeDiscord(bot=account) as desk:
        monkeypatch.setenv("DISCORD_BOT_TOKEN", unnamed.state.bot.token)
        monkeypatch.setenv("DISCORD_API_URL", unnamed.api_url)
        gateway = site.open(
            f"""
            [[bots]]
            platform = "discord"
            name = "desk"
            token = "{account.token}"
            api_url = "{desk.api_url}"
            assistant = "support"
            """
        )
        gateway.listen()
        said = []
        for each in (unnamed, desk):
            each.wait_until(partial(is_connected, each), SOON)
            said.append(each.says("hello", mentions=True)["id"])
        first, second = delivered(gateway, "discord", said[0]), delivered(gateway, "discord:desk", said[1])
        assert replace(second.message.key, platform="discord", topic=said[0]) == first.message.key
        assert (first.assistant, second.assistant) == ("default", "support")
        for each, thread in zip((unnamed, desk), said, strict=True):
            assert len(each.bot_messages(thread)) == 1
            assert {call.token for call in each.calls("createMessage")} == {each.state.bot.token}
        for application in (unnamed.state.bot.application, account.application):
            assert not gateway.store.try_lock(f"discord:{application}:gateway", "another process", 1.0)


def is_connected(discord: FakeDiscord) -> bool:
    return discord.connected == 1


OF_AN_EARLIER_VERSION = (
    """
    INSERT INTO conversations (platform, workspace, channel, topic, user_id, head, tail, next_at, epoch, created_at)
    VALUES ('telegram', '{bot}', '{chat}', '', '', 0, 1, 1, 1, 1)
    """,
    """
    INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, reply, parts,
    received_at) SELECT id, 1, 'turn_{chat}', 'telegram', '{bot}:{chat}:1', 'hello', '1', '{address}', '{state}',
    '{reply}', '{posted}', 1 FROM conversations WHERE channel = '{chat}'
""",
)


def test_what_the_bot_without_a_name_had_begun_stays_with_it(
    site: Site, sqlite_url: str, telegrams: tuple[FakeTelegram, FakeTelegram]
) -> None:
    """A database of version 0.1.0 with a turn that waits, and one whose reply is posted in part."""
    for each in telegrams:
        each.user_says("hello", chat_id=GROUP)
    posted = say_as_bot(telegrams[0], "Half of")
    bring_to(sqlite_url, "0004", [*begun(USER), *begun(GROUP, state="answered", reply="Half of it.", posted=posted)])
    gateway = site.open(sales_bot(telegrams[1]))
    for chat in (USER, GROUP):
        assert delivered(gateway, "telegram", f"{BOT_ID}:{chat}:1").assistant == "default"
    assert [each.text for each in telegrams[0].bot_messages(GROUP)] == ["Half of it."]
    assert len(telegrams[0].bot_messages(USER)) == 1
    assert not telegrams[1].calls("sendMessage")


def begun(chat: int, state: str = "queued", reply: str = "", posted: int | None = None) -> Iterator[str]:
    """Yields statements that insert a turn. ``posted``: the message that shows a part of its reply."""
    kind = "private" if chat > 0 else "supergroup"
    address = json.dumps({"chat": str(chat), "message": "1", "type": kind})
    parts = json.dumps([str(posted)] if posted else [])
    for each in OF_AN_EARLIER_VERSION:
        yield each.format(bot=BOT_ID, chat=chat, address=address, state=state, reply=reply, posted=parts)


def say_as_bot(telegram: FakeTelegram, text: str) -> int:
    """Returns the number of a message in the group."""
    form = urlencode({"chat_id": GROUP, "text": text}).encode()
    with urlopen(f"{telegram.base_url}{TOKEN}/sendMessage", form) as answer:  # on loopback
        return int(json.load(answer)["result"]["message_id"])


def test_check_has_lines_for_each_bot(site: Site, telegrams: tuple[FakeTelegram, FakeTelegram]) -> None:
    (site.folder / "gateway.toml").write_text(ASSISTANTS + sales_bot(telegrams[1], 'webhook_secret = "of-sales"'))
    found = {each.name: each for each in check()}
    assert {"telegram", "telegram updates", "telegram:sales", "telegram:sales updates"} <= found.keys()
    assert found["telegram"].ok
    assert found["telegram:sales"].ok
    assert found["platforms"].detail.endswith("telegram, telegram:sales")
    assert "telegram set-webhook URL --bot sales" in found["telegram:sales updates"].detail


def test_a_message_to_a_bot_is_explained_by_what_counts_for_that_bot(
    site: Site, telegrams: tuple[FakeTelegram, FakeTelegram], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKED", "telegram:666")
    (site.folder / "gateway.toml").write_text(ASSISTANTS + sales_bot(telegrams[1]))
    with commands._open_explain_context() as context:
        asked = SyntheticMessage("hello", channel=str(USER), user=str(USER))
        answered = explain(context, "telegram:sales", asked)
        blocked = explain(context, "telegram:sales", replace(asked, channel="666", user="666"))
    assert answered.is_answered
    assistant = next(line for line in answered.lines if line.startswith("assistant"))
    assert assistant.endswith("support, that of the bot telegram:sales; no route leads elsewhere")
    assert blocked.lines[0] == "It would not be answered: BLOCKED lists telegram:666."
