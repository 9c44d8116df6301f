"""An assistant holds the connections to its MCP servers from when it is made until it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.configuration import AssistantDefinition, McpServerDefinition
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import SettingsError
from gateway.handover.tool import hand_over_tool
from gateway.observability.metrics import Metrics
from gateway.policy.prices import PriceSettings
from gateway.settings import Settings
from gateway.tools.servers import ToolServers
from gateway.wiring.assistant_setup import AssistantBuilder, tools_of
from gateway.worker.answering.tool_files import KeptFiles
from tests.settings import settings_of

ORDERS = McpServerDefinition("orders", url="http://127.0.0.1:9/mcp")


@pytest.fixture
def builder() -> Iterator[AssistantBuilder]:
    with ThreadPoolExecutor(1) as executor:
        nothing = cast("Any", None)
        store, files = AsyncStore(nothing, executor), KeptFiles(nothing, executor)
        yield AssistantBuilder(store, Metrics(), ToolServers(), files, settings_of(PriceSettings))


def definition(**values: Any) -> AssistantDefinition:
    settings = settings_of(Settings, **values)
    return AssistantDefinition("default", settings, mcp_servers=("orders",))


async def test_a_server_is_released_when_its_assistants_are_closed(builder: AssistantBuilder) -> None:
    first, second = (builder.build(definition(assistant_backend="offline"), [ORDERS]) for _ in range(2))
    await first.close()
    assert builder.servers.in_use
    await second.close()
    assert not builder.servers.in_use


def test_an_assistant_that_cannot_be_made_holds_nothing(builder: AssistantBuilder) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        builder.build(definition(assistant_backend="chat"), [ORDERS])
    assert not builder.servers.in_use


async def nobody(_: str) -> str:
    return "nobody"


@pytest.mark.parametrize(
    ("listed", "offered", "has_it"),
    [
        (None, False, False),
        (None, True, True),
        (("calculate",), False, False),
        (("calculate",), True, True),
        (("calculate", "hand_over"), False, True),
    ],
)
def test_an_assistant_hands_over_if_it_lists_the_tool_or_all_do(
    listed: tuple[str, ...] | None, *, offered: bool, has_it: bool
) -> None:
    described = replace(definition(assistant_backend="offline"), function_tools=listed)
    names = [each.tool.name for each in tools_of(described, hand_over_tool(nobody), offered=offered)]
    assert ("hand_over" in names) is has_it
    assert "calculate" in names


def test_a_tool_of_the_same_name_comes_before_that_of_the_gateway(tmp_path: Path) -> None:
    own = '"""Tools."""\n\ndef hand_over(to: str) -> str:\n    """Call somebody."""\n    return to\n'
    (tmp_path / "own.py").write_text(own)
    described = definition(assistant_backend="offline", tools_path=tmp_path)
    found = [
        each for each in tools_of(described, hand_over_tool(nobody), offered=True) if each.tool.name == "hand_over"
    ]
    assert [each.tool.description for each in found] == ["Call somebody."]
