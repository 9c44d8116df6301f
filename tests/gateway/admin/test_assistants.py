"""The page of assistants, routes, bots and MCP servers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from adapters.telegram.settings import TelegramSettings
from gateway.admin import RunningBackend
from gateway.admin.filters import NO_VALUE
from gateway.configuration import AssistantDefinition, Bot, Configuration, McpServerDefinition, RouteRule
from gateway.domain.models import ConversationKey, Message, TurnId
from gateway.ports.check import CheckResult
from gateway.settings import Settings
from tests.contracts.store_helpers import enqueue_one
from tests.gateway.admin.harness import AdminHarness, open_harness, text_of
from tests.settings import settings_of

SETTINGS = settings_of(Settings, openai_api_key=SecretStr("sk-veiled"))
CONFIGURATION = Configuration(
    {
        "default": AssistantDefinition("default", SETTINGS),
        "support": AssistantDefinition(
            "support", SETTINGS, mcp_servers=("orders",), fallback=("default",), aliases=("help",)
        ),
    },
    routes=(
        RouteRule("slack", "support", workspace="T1", channel="C1", choices=("default",)),
        RouteRule("slack", "support"),
    ),
    bots=(Bot("telegram", "sales", TelegramSettings(telegram_bot_token=SecretStr("1:veiled")), "support"),),
    mcp_servers={
        "orders": McpServerDefinition(
            "orders",
            "https://user:veiled@shop.test/veiled?key=veiled",
            headers={"Authorization": SecretStr("Bearer veiled")},
            allow=("find",),
        ),
        "files": McpServerDefinition("files", command=("uvx", "--key=veiled"), env={"KEY": SecretStr("veiled")}),
    },
)
BACKENDS = (
    RunningBackend("default", "offline", "", "an assistant in memory", "offline"),
    RunningBackend("support", "chat", "gpt-test", "chat at models.test", "assistant support"),
)


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


def page(scene: AdminHarness) -> str:
    client = scene.signed_in_client(
        configuration=lambda: CONFIGURATION, backends=lambda: BACKENDS, platforms=("fake", "telegram:sales")
    )
    return client.get("/admin/assistants").text


def row(text: str, first: str) -> str:
    """Returns the text of the row of a table whose first cell begins so."""
    rows = (
        re.sub(r"<[^>]*>", " ", each).replace(NO_VALUE, "-") for each in re.findall(r"<tr>.*?</tr>", text, re.DOTALL)
    )
    return next(line for each in rows if (line := " ".join(each.split())).startswith(first))


def ask(scene: AdminHarness, assistant: str, **outcome: int) -> None:
    message = Message(ConversationKey("fake", channel=assistant), assistant, "Hello", "ann", assistant=assistant)
    enqueue_one(scene.store, message, TurnId(f"turn_{assistant}"))
    scene.work_off_queue(**outcome)


def test_each_assistant_has_its_turns_cost_routes_and_health(scene: AdminHarness) -> None:
    ask(scene, "support", cost=1_500_000)
    ask(scene, "former", cost=2_000_000)
    scene.fail_turn("no")
    scene.check_results["offline"] = (CheckResult("assistant", ok=True, detail="in memory"),)
    scene.check_results["assistant support"] = (CheckResult("assistant", ok=False, detail="connection refused"),)
    said = page(scene)
    assert (
        row(said, "default")
        == "default offline an assistant in memory - works in memory 0 1 1 failed $0.00 1 1 failed $0.00"
    )
    assert row(said, "support") == (
        "support also help else default chat chat at models.test gpt-test has a problem connection refused "
        "2 1 $1.50 1 $1.50"
    )
    assert row(said, "former") == "former not configured - - not checked 0 1 $2.00 1 $2.00"
    assert "/admin/conversations?assistant=support" in said


def test_routes_bots_and_servers_are_shown_without_their_secrets(scene: AdminHarness) -> None:
    scene.check_results["fake"] = (CheckResult("fake", ok=True),)
    scene.check_results["telegram:sales"] = (CheckResult("bot", ok=True, detail="@sales_bot"),)
    scene.check_results["mcp"] = (
        CheckResult("mcp orders", ok=True, detail="1 tool"),
        CheckResult("mcp else", ok=False),
    )
    said = page(scene)
    assert row(said, "slack T1") == "slack T1 C1 any support default"
    assert row(said, "slack any") == "slack any any any support -"
    assert row(said, "fake") == "fake - default works"
    assert row(said, "telegram") == "telegram sales support works @sales_bot"
    assert row(said, "orders") == "orders shop.test over HTTP find support works 1 tool"
    assert row(said, "files") == "files uvx a program all - not checked"
    assert "veiled" not in said


def test_without_a_file_there_is_little_to_show(scene: AdminHarness) -> None:
    client = scene.signed_in_client(configuration=lambda: Configuration.of(SETTINGS))
    said = text_of(client.get("/admin/assistants"))
    assert "There are no routes: what names no assistant goes to default ." in said
    assert "There are no MCP servers." in said


def test_pages_share_what_was_checked(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    for path in ("/admin/assistants", "/admin/platforms", "/admin/assistants"):
        assert client.get(path).status_code == 200
    assert scene.check_calls == [1]
