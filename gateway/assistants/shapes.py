"""Reads foreign JSON without trusting its shape: what is not there, or is something else, is empty."""

from __future__ import annotations

from typing import Any

from gateway.assistants.sse import Json
from gateway.messages import Usage


def part(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def parts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def usage(value: Any) -> Usage:
    """Tokens in the words of any of the APIs."""
    said = part(value)
    return Usage(
        count(said.get("input_tokens")) or count(said.get("prompt_tokens")),
        count(said.get("output_tokens")) or count(said.get("completion_tokens")),
    )
