"""Reads JSON from servers without trusting its structure: missing values and values of another type become empty."""

from __future__ import annotations

from typing import Any

from gateway.assistants.sse import Json
from gateway.domain.models import NO_TOKENS, RunId, Usage
from gateway.domain.run_events import UsageCounted

MAX_NUMBER = 2**53
"""A larger number of tokens is none, and no database would take it."""


def as_object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """Returns a number of tokens; some servers write it as a float."""
    return value if type(value) is int and 0 <= value <= MAX_NUMBER else int(as_number(value))


def as_number(value: Any) -> float:
    """Returns a number of 0 or more; 0 for what is none, or cannot be meant."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= MAX_NUMBER else 0.0


def as_usage(value: Any) -> Usage:
    """Returns the token counts, under the field names of any of the three APIs.

    xAI counts reasoning tokens beside ``completion_tokens`` instead of among them (docs.x.ai/docs/guides/reasoning):
    they are added if the total says so.
    """
    fields = as_object(value)
    tokens_in = as_count(fields.get("input_tokens")) or as_count(fields.get("prompt_tokens"))
    tokens_out = as_count(fields.get("output_tokens")) or as_count(fields.get("completion_tokens"))
    others = as_count(fields.get("total_tokens")) - tokens_in - tokens_out
    if others > 0 and (reasoning := _reasoning_tokens(fields)) <= others:
        tokens_out += reasoning
    return Usage(tokens_in, tokens_out)


def counted_usage(run: Json) -> UsageCounted | None:
    """Returns what the server counted for a run or a response; None if it says nothing."""
    usage = as_usage(run.get("usage"))
    if usage == NO_TOKENS:
        return None
    return UsageCounted(RunId(as_text(run.get("id"))), usage, as_text(run.get("model")))


def _reasoning_tokens(usage: Json) -> int:
    details = as_object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    return as_count(details.get("reasoning_tokens")) or as_count(usage.get("reasoning_tokens"))
