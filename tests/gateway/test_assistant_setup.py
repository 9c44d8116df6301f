"""An assistant holds the connections to its MCP servers from when it is made until it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from gateway.assistant_setup import AssistantBuilder
from gateway.configuration import AssistantDefinition, McpServerDefinition
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import SettingsError
from gateway.observability.metrics import Metrics
from gateway.settings import Settings
from gateway.tools.servers import ToolServers
from gateway.worker.tool_files import KeptFiles
from tests.settings import settings_of

ORDERS = McpServerDefinition("orders", url="http://127.0.0.1:9/mcp")


@pytest.fixture
def builder() -> Iterator[AssistantBuilder]:
    with ThreadPoolExecutor(1) as executor:
        nothing = cast("Any", None)
        store, files = AsyncStore(nothing, executor), KeptFiles(nothing, executor)
        yield AssistantBuilder(store, Metrics(), ToolServers(), files)


def definition(**values: Any) -> AssistantDefinition:
    settings = settings_of(Settings, **values)
    return AssistantDefinition("default", settings, mcp_servers=("orders",))


async def test_a_server_is_released_when_its_assistants_are_closed(builder: AssistantBuilder) -> None:
    first, second = (builder.build(definition(assistant_backend="offline"), [ORDERS]) for _ in range(2))
    await first.backend.close()
    assert builder.servers.in_use
    await second.backend.close()
    assert not builder.servers.in_use


def test_an_assistant_that_cannot_be_made_holds_nothing(builder: AssistantBuilder) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        builder.build(definition(assistant_backend="chat"), [ORDERS])
    assert not builder.servers.in_use
