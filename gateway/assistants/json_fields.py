"""Reads JSON from servers without trusting its structure: missing values and values of another type become empty."""

from __future__ import annotations

from typing import Any

from gateway.assistants.sse import Json
from gateway.domain.models import Usage


def part(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def parts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def usage(value: Any) -> Usage:
    """Returns the token counts, under the field names of any of the three APIs."""
    fields = part(value)
    return Usage(
        count(fields.get("input_tokens")) or count(fields.get("prompt_tokens")),
        count(fields.get("output_tokens")) or count(fields.get("completion_tokens")),
    )
