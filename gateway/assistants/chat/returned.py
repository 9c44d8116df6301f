"""What a server wants back with calls that end a reply, or wait, beside the text and the calls themselves."""

from __future__ import annotations

import json
from typing import Any

from gateway.assistants.json_fields import as_object
from gateway.assistants.sse import Json

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


def with_returned(message: Json, returned: str) -> Json:
    """Returns an assistant's message with calls, with what goes back with them. Another backend may have written it."""
    kept = as_object(json.loads(returned)) if returned else {}
    beside = as_object(kept.get("calls"))
    calls = [_with(call, beside.get(call["id"])) for call in message["tool_calls"]]
    return {**message, **as_object(kept.get("fields")), "tool_calls": calls}


def _beside(call: Json) -> Json:
    function = {name: value for name, value in call["function"].items() if name not in STORED_OF_FUNCTION}
    fields = {name: value for name, value in call.items() if name not in STORED_OF_CALL}
    return fields | ({"function": function} if function else {})


def _with(call: Json, beside: Any) -> Json:
    kept = as_object(beside)
    return {**kept, **call, "function": {**as_object(kept.get("function")), **call["function"]}}
