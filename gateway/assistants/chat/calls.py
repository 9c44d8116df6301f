"""Tool calls of a chat completion: assembled from deltas, understood for running, and made valid to go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.assistants.chat.deltas import merge
from gateway.assistants.json_fields import as_object, as_text
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import (
    FunctionCall,
    arguments_text,
    arguments_to_return,
    arguments_to_run,
    called_name,
    parse_arguments,
)
from gateway.tools import ToolResult


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """A call as it is run, and as it goes back to the server."""

    call: FunctionCall
    message: Json


class CallAssembler:
    """Assembles the calls of one completion, with everything that came with them.

    Gemini refuses the outputs of a call that returns without its ``extra_content`` (ai.google.dev/gemini-api/docs/
    thought-signatures), so what a call has beside its id, name and arguments is kept as it came.
    """

    def __init__(self) -> None:
        self._calls: list[Json] = []
        self._by_key: dict[object, Json] = {}

    def add_delta(self, delta: Json, position: int) -> None:
        """Adds a delta; ``position``: its place in its chunk, which tells calls apart that have no index and no id."""
        function = as_object(delta.get("function"))
        call = self._call_of(delta, as_text(function.get("name")), position)
        call["arguments"] += arguments_text(function.get("arguments"))
        merge(call["function"], {name: value for name, value in function.items() if name != "arguments"})
        merge(call["fields"], {name: value for name, value in delta.items() if name not in {"index", "function"}})

    def add_call(self, name: str, arguments: str) -> None:
        """Adds a complete call, which a model wrote as text."""
        self._calls.append({"arguments": arguments, "function": {"name": name}, "fields": {}})

    def finish(self, used_ids: set[str]) -> list[ReceivedCall]:
        """Returns the calls. Each has an id that is not among ``used_ids``, to which the ids are added."""
        return [_received(call, used_ids) for call in self._calls]

    def _call_of(self, delta: Json, name: str, position: int) -> Json:
        """Returns the call that a delta belongs to: the one with its index, else with its id, else the newest."""
        call_id, index = as_text(delta.get("id")), delta.get("index")
        key = index if isinstance(index, int) else call_id or (position if name else None)
        known = self._by_key.get(key) if key is not None or not self._calls else self._calls[-1]
        if known is None or _is_another_call(known, call_id, name):
            known = {"arguments": "", "function": {}, "fields": {}}
            self._calls.append(known)
        self._by_key[key] = known
        return known


def _is_another_call(known: Json, call_id: str, name: str) -> bool:
    """Returns whether a delta begins a new call under the index of a known one, as some proxies number all calls 0."""
    if not name or not known["function"].get("name"):
        return False
    known_id = as_text(known["fields"].get("id"))
    if call_id and known_id:
        return call_id != known_id
    return parse_arguments(known["arguments"]) is not None


def _received(call: Json, used_ids: set[str]) -> ReceivedCall:
    run, back = arguments_to_run(call["arguments"]), arguments_to_return(call["arguments"])
    name, call_id = called_name(call["function"].get("name")), _unused_id(as_text(call["fields"].get("id")), used_ids)
    function = {**call["function"], "name": name, "arguments": back}
    message = {**call["fields"], "id": call_id, "type": "function", "function": function}
    return ReceivedCall(FunctionCall(call_id, name, run), message)


def _unused_id(wanted: str, used_ids: set[str]) -> str:
    """Returns the id of a call, or one of nine letters and digits, as Mistral demands, where it has none of its own."""
    made = (f"call{number:05}" for number in range(len(used_ids) + 1))
    call_id = wanted if wanted and wanted not in used_ids else next(name for name in made if name not in used_ids)
    used_ids.add(call_id)
    return call_id


def output_messages(calls: Sequence[ReceivedCall], outputs: Mapping[str, ToolResult]) -> list[Json]:
    """Returns the messages with the outputs of the calls, in their order."""
    return [{"role": "tool", "tool_call_id": one.call.id, "content": outputs[one.call.id].text} for one in calls]
