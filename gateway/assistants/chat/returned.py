"""What a server wants back with calls that a turn waits for, beside the text and the calls themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.assistants.json_fields import as_object
from gateway.assistants.sse import Json
from gateway.domain.exchange import CallRound

STORED_OF_CALL = frozenset({"id", "type", "function"})
STORED_OF_FUNCTION = frozenset({"name", "arguments"})
STORED_OF_MESSAGE = frozenset({"role", "tool_calls"})
"""Fields that a round of calls has anyway, as its text if that is a string."""


def to_return(message: Json) -> str:
    """Returns, as JSON, what of an assistant's message with calls a round of them does not have; empty for nothing."""
    calls = {call["id"]: beside for call in message["tool_calls"] if (beside := _beside(call))}
    fields = {name: value for name, value in message.items() if name not in STORED_OF_MESSAGE}
    if isinstance(fields["content"], str):
        del fields["content"]
    return json.dumps({"fields": fields, "calls": calls}, ensure_ascii=False) if fields or calls else ""


def by_first_call(rounds: Iterable[CallRound]) -> Mapping[str, Json]:
    """Returns what goes back with rounds of calls, by the id of the first call of each."""
    return {each.calls[0].id: json.loads(each.returned) for each in rounds if each.returned}


def with_returned(message: Json, returned: Mapping[str, Json]) -> Json:
    """Returns an assistant's message with calls, with what goes back with them."""
    calls: list[Json] = message["tool_calls"]
    kept = returned.get(calls[0]["id"])
    if kept is None:
        return message
    return {**message, **kept["fields"], "tool_calls": [_with(call, kept["calls"].get(call["id"])) for call in calls]}


def _beside(call: Json) -> Json:
    function = {name: value for name, value in call["function"].items() if name not in STORED_OF_FUNCTION}
    fields = {name: value for name, value in call.items() if name not in STORED_OF_CALL}
    return fields | ({"function": function} if function else {})


def _with(call: Json, beside: Any) -> Json:
    kept = as_object(beside)
    return {**kept, **call, "function": {**as_object(kept.get("function")), **call["function"]}}
