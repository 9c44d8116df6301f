"""Reads JSON from servers without trusting its structure: missing values and values of another type become empty."""

from __future__ import annotations

from typing import Any

from gateway.assistants.sse import Json
from gateway.domain.models import Usage


def as_object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def as_number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0.0


def as_usage(value: Any) -> Usage:
    """Returns the token counts, under the field names of any of the three APIs."""
    fields = as_object(value)
    return Usage(
        as_count(fields.get("input_tokens")) or as_count(fields.get("prompt_tokens")),
        as_count(fields.get("output_tokens")) or as_count(fields.get("completion_tokens")),
    )
