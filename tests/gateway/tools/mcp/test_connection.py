"""MCP servers, over HTTP and on stdio: their tools are called like own ones, and what they do wrong costs no turn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway import logs
from gateway.configuration import McpServerDefinition
from gateway.tools import ToolBox
from gateway.tools.mcp import connection as module
from gateway.tools.mcp import transports
from gateway.tools.mcp.connection import McpConnection
from tests.fakes.mcp_http import HttpMcpServer
from tests.gateway.tools.mcp.conftest import Connect, misbehaving
from tests.waiting import until_async

NAMES = {f"orders__{name}" for name in ("find_order", "refund", "chart", "wait", "learn")}


async def text_of(connection: McpConnection, tool: str, arguments: str = "{}", time_limit: float = 10.0) -> str:
    return (await ToolBox([], time_limit, sources=[connection]).call(f"orders__{tool}", arguments)).text


def over_http(server: HttpMcpServer, allow: tuple[str, ...] | None = None) -> McpServerDefinition:
    headers = {"Authorization": SecretStr("Bearer hush-hush")}
    return McpServerDefinition("orders", url=server.url, headers=headers, allow=allow)


# ---------------------------------------------------------------- well-behaved


async def test_a_server_of_the_sdk_on_stdio(connect: Connect) -> None:
    server = McpServerDefinition(
        "orders",
        command=(sys.executable, "-m", "tests.fakes.mcp_tools"),
        env={"ORDERS_TOKEN": SecretStr("hush-hush"), "PYTHONPATH": SecretStr(str(Path(__file__).parents[4]))},
    )
    connection = await connect(server)
    assert {tool.name for tool in connection.tools} == NAMES
    assert await text_of(connection, "find_order", '{"number": "7"}') == "order 7 is on its way"
    assert await text_of(connection, "find_order", '{"number": "secret"}') == "hush-hush"


async def test_a_server_of_the_sdk_over_http(connect: Connect, http_server: HttpMcpServer) -> None:
    connection = await connect(over_http(http_server))
    assert {tool.name for tool in connection.tools} == NAMES
    assert {sent["authorization"] for sent in http_server.headers} == {"Bearer hush-hush"}
    find = next(tool for tool in connection.tools if tool.name == "orders__find_order")
    assert find.description == "Find an order by the number on its invoice."
    assert find.parameters["required"] == ["number"]
    assert await text_of(connection, "find_order", '{"number": "7"}') == "order 7 is on its way"
    assert "cents" in await text_of(connection, "refund", '{"number": "7"}')
    assert await text_of(connection, "refund", '{"number": "7", "cents": 700}') == (
        "The tool orders__refund failed: Error executing tool refund"
    )
    assert await text_of(connection, "wait", '{"seconds": 9}', 0.05) == (
        "The tool orders__wait did not finish within 0.05 seconds."
    )
    assert "not valid JSON" in await text_of(connection, "find_order", "{")


async def test_files_go_to_the_model_and_the_person(connect: Connect, http_server: HttpMcpServer) -> None:
    connection = await connect(over_http(http_server))
    drawn = await ToolBox([], sources=[connection]).call("orders__chart", "")
    assert drawn.text == (
        "Here it is.\n\n[file: image-2.png, image/png, 28 bytes]\n\n"
        "[file: raw data.bin, application/octet-stream, 3 bytes]"
    )
    assert [each.file.name for each in drawn.for_model] == ["image-2.png"]
    assert [each.file.name for each in drawn.for_reply] == ["image-2.png", "raw data.bin"]
    assert drawn.for_reply[1].content.head(9) == b"\0\1\2"


async def test_only_allowed_tools_are_offered_and_called(connect: Connect, http_server: HttpMcpServer) -> None:
    connection = await connect(over_http(http_server, allow=("find_order", "find_ordr")))
    assert [tool.name for tool in connection.tools] == ["orders__find_order"]
    assert connection.listing.unknown == ("find_ordr",)
    assert "There is no tool 'orders__refund'" in await text_of(connection, "refund", '{"number": "7", "cents": 1}')


async def test_a_new_tool_is_there_without_a_new_connection(connect: Connect, http_server: HttpMcpServer) -> None:
    connection = await connect(over_http(http_server))
    assert await text_of(connection, "learn") == "learnt"
    await until_async(lambda: "orders__brand_new" in {tool.name for tool in connection.tools})
    assert await text_of(connection, "brand_new") == "brand new"


async def test_an_older_server_tells_of_a_new_tool_too(connect: Connect) -> None:
    connection = await connect(misbehaving("change"))
    assert await text_of(connection, "echo", '{"text": "hi"}') == "again: hi"
    await until_async(lambda: {tool.name for tool in connection.tools} == {"orders__echo", "orders__fresh"})


# ---------------------------------------------------------------- away


async def test_a_server_that_is_away_costs_its_tools_and_comes_back(
    connect: Connect, http_server: HttpMcpServer
) -> None:
    connection = await connect(over_http(http_server))
    await http_server.stop()
    box = ToolBox([], sources=[connection])
    assert (await box.call("orders__wait", '{"seconds": 0}')).text.startswith("The tool orders__wait ")
    await until_async(lambda: bool(connection.problem))
    assert box.names == ()
    assert box.notice.startswith("These tools cannot be used right now: orders__… (its server does not answer).")
    assert "cannot be used right now: its server does not answer" in (await box.call("orders__wait", "{}")).text
    await http_server.start()
    await until_async(lambda: not connection.problem)
    assert box.notice == ""
    assert (await box.call("orders__find_order", '{"number": "9"}')).text == "order 9 is on its way"


@pytest.mark.parametrize(
    ("server", "detail"),
    [
        (McpServerDefinition("orders", command=("/no/such/program",)), "No such file"),
        (McpServerDefinition("orders", command=(sys.executable, "-c", "raise SystemExit('no key')")), "no key"),
        (McpServerDefinition("orders", url="http://127.0.0.1:9/mcp"), "connect"),
    ],
)
async def test_why_a_server_is_away_is_said_to_the_operator(
    connect: Connect, server: McpServerDefinition, detail: str
) -> None:
    connection = await connect(server)
    assert connection.problem == "its server does not answer"
    assert detail in connection.detail


async def test_last_words_that_are_read_after_the_end_of_a_server_are_said_too(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "EXIT_SECONDS", 20.0)
    late = "exec >&-; (sleep 0.1; echo no key >&2) & exit 1"
    connection = await connect(McpServerDefinition("orders", command=("/bin/sh", "-c", late)))
    assert connection.detail == "its process ended with code 1: no key"


async def test_a_refused_token_is_said_to_the_operator(connect: Connect, http_server: HttpMcpServer) -> None:
    http_server.status = 401
    connection = await connect(over_http(http_server))
    assert connection.detail == "it answered HTTP 401"


async def test_a_server_that_says_nothing_is_given_up(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.2)
    connection = await connect(misbehaving("silent"))
    assert connection.detail == "it did not answer within 0.2 seconds"


# ---------------------------------------------------------------- misbehaving


async def test_a_server_that_hangs_costs_the_time_limit(connect: Connect) -> None:
    connection = await connect(misbehaving("hang"))
    assert await text_of(connection, "echo", "{}", 0.05) == "The tool orders__echo did not finish within 0.05 seconds."
    assert connection.problem == ""


async def test_a_server_that_dies_in_mid_call(connect: Connect) -> None:
    logs.mask_also(["hush-hush-hush"])
    connection = await connect(misbehaving("die"))
    assert "whether the call was carried out is not known" in await text_of(connection, "echo")
    await until_async(lambda: bool(connection.problem))
    assert "its process ended with code 3: Bearer *** is not accepted" in connection.detail
    await until_async(lambda: not connection.problem)
    assert [tool.name for tool in connection.tools] == ["orders__echo"]


@pytest.mark.parametrize(("mode", "detail"), [("flood", "messages in a second"), ("pour", "a message of more than")])
async def test_a_server_that_floods_is_cut_off(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, mode: str, detail: str
) -> None:
    monkeypatch.setattr(transports, "MAX_MESSAGE_BYTES", 2**20)
    monkeypatch.setattr(transports, "MAX_MESSAGES_PER_SECOND", 100)
    connection = await connect(misbehaving(mode))
    assert "the connection to its server broke" in await text_of(connection, "echo")
    await until_async(lambda: bool(connection.problem))
    assert detail in connection.detail


async def test_an_answer_over_http_without_end_is_cut_off(
    connect: Connect, http_server: HttpMcpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await connect(over_http(http_server))
    monkeypatch.setattr(transports, "MAX_MESSAGE_BYTES", 50)
    assert "failed" in await text_of(connection, "find_order", '{"number": "123456789"}')


async def test_a_server_that_lies_about_its_schemas_costs_those_tools(connect: Connect) -> None:
    connection = await connect(misbehaving("lie"))
    assert [tool.name for tool in connection.tools] == ["orders__echo", "orders__promises"]
    assert connection.listing.left_out.keys() == {"no_schema", "too_deep"}
    assert await text_of(connection, "promises", '{"text": "x"}') == (
        "The tool orders__promises failed: Tool promises has an output schema but did not return structured content"
    )


async def test_a_list_of_tools_that_is_none_is_said_to_the_operator(connect: Connect) -> None:
    connection = await connect(misbehaving("broken"))
    assert connection.tools == ()
    assert connection.detail == "it breaks the protocol: tools.0.inputSchema.type: Input should be 'object'"


async def test_two_tools_of_one_name_are_an_error(connect: Connect) -> None:
    connection = await connect(misbehaving("same"))
    assert connection.tools == ()
    assert "its tool a_b would be named orders__a_b, as another tool is" in connection.detail
