"""What MCP servers call their tools, and how they describe them, becomes what a model's server takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.mcp.names import tool_name
from gateway.tools.mcp.schemas import MAX_SCHEMA_CHARS, SchemaRefused, model_schema
from gateway.tools.tool import TOOL_NAME


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("orders", "find_order", "orders__find_order"),
        ("orders", "admin/tools.list v2", "orders__admin_tools_list_v2"),
        ("läden", "größe", "l_den__gr__e"),
    ],
)
def test_a_tool_is_named_after_its_server(server: str, tool: str, name: str) -> None:
    assert tool_name(server, tool) == name


@given(st.text(min_size=1), st.text(min_size=1))
def test_every_name_is_one_that_models_take(server: str, tool: str) -> None:
    assert TOOL_NAME.fullmatch(tool_name(server, tool))


def test_long_names_are_cut_and_stay_apart() -> None:
    first, second = (tool_name("orders", "x" * 80 + end) for end in "ab")
    assert len(first) == len(second) == 64
    assert first != second
    assert first == tool_name("orders", "x" * 80 + "a")


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        (
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "oneOf": [{}], "title": "T"},
            {"type": "object", "properties": {}, "title": "T"},
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array"}, "b": {"type": "array", "items": {"enum": [1]}}}},
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {}}, "b": {"type": "array", "items": {"enum": [1]}}},
            },
        ),
    ],
)
def test_a_schema_becomes_one_that_models_take(schema: dict[str, Any], kept: dict[str, Any]) -> None:
    assert model_schema(schema) == kept


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string"}, "not that of an object"),
        ({"type": "object", "properties": ["a"]}, "not that of an object"),
        ({"type": "object", "properties": {"a": {"type": "a number"}}}, "invalid"),
        ({"type": "object", "description": "x" * MAX_SCHEMA_CHARS}, "characters"),
    ],
)
def test_a_schema_that_would_cost_every_turn_is_refused(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemaRefused, match=reason):
        model_schema(schema)


def test_a_schema_without_end_is_refused() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(10_000):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(SchemaRefused, match="nested"):
        model_schema(deep)
