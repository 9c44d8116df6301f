"""JSON schemas of MCP tools, checked before a model's server sees them: one that is refused there costs every turn."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]  # its types are a package

MAX_SCHEMA_CHARS = 50_000
MAX_DEPTH = 40
NOT_AT_TOP = ("oneOf", "anyOf", "allOf", "enum", "not", "$schema", "$id")
"""What OpenAI's servers refuse at the top of the parameters (community.openai.com/t/1358484), or do not need. The MCP
server still checks it."""


class SchemaRefused(Exception):
    """A schema cannot be offered to a model."""


def model_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a tool as models' servers take them. Raises SchemaRefused, which says why not."""
    if _depth(schema) > MAX_DEPTH:
        raise SchemaRefused("its schema is nested too deeply")
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
        raise SchemaRefused(f"its schema has more than {MAX_SCHEMA_CHARS} characters")
    if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), dict):
        raise SchemaRefused("its schema is not that of an object")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise SchemaRefused(f"its schema is invalid: {exc.message[:200]}") from exc
    kept = {name: value for name, value in schema.items() if name not in NOT_AT_TOP}
    return {"type": "object", "properties": {}, **_with_items(kept)}


def _depth(schema: Any) -> int:
    """Returns how deeply a JSON value is nested; no more than ``MAX_DEPTH`` and one."""
    level, depth = [schema], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [inner for value in level for inner in _inside(value) if isinstance(inner, dict | list)]
    return depth


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)


def _with_items(value: Any) -> Any:
    """Returns a schema whose arrays all say ``items``: OpenAI's servers refuse one that does not ("array schema missing
    items").
    """
    if isinstance(value, list):
        return [_with_items(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _with_items(inner) for name, inner in value.items()}
    is_bare = value.get("type") == "array" and not {"items", "prefixItems"} & value.keys()
    return {**kept, "items": {}} if is_bare else kept
