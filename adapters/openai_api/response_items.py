"""Items that a caller adds to a conversation: read, kept as they are listed, and said to the assistant."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from adapters.openai_api.content_parts import refusal
from adapters.openai_api.response_request import SaidItem, item_steps
from adapters.openai_api.said import Answered, Asked, Instruction, Returned, Step, Thought, all_exchanges
from gateway.domain.exchange import Exchange
from gateway.ports.api_objects import ApiObject

PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}

_items: TypeAdapter[list[SaidItem]] = TypeAdapter(list[SaidItem])


@dataclass(frozen=True, slots=True)
class Items:
    """Items as a request brings them."""

    steps: Sequence[Step]

    def stored(self) -> list[dict[str, Any]]:
        """Returns the items as they are kept and listed, each with an id.

        Raises InvalidRequest for files and instructions, which a conversation does not keep.
        """
        return [_stored(step) for step in self.steps]


def exchanges_of_items(items: Sequence[ApiObject]) -> tuple[Exchange, ...]:
    """Returns items that were added as what was said."""
    read = _items.validate_python([dict(each.body) for each in items])
    return all_exchanges(item_steps(read, "items"))


def _stored(step: Step) -> dict[str, Any]:
    match step.said:
        case Asked(content):
            _refuse_files(step, bool(content.files))
            return _message("user", "input_text", content.text)
        case Answered(text, calls):
            if not calls:
                return _message("assistant", "output_text", text)
            (call,) = calls
            return _item("function_call", call_id=call.id, name=call.name, arguments=call.arguments)
        case Returned(call_id, content):
            _refuse_files(step, bool(content.files))
            return _item("function_call_output", call_id=call_id, output=content.text)
        case Instruction() | Thought():
            raise refusal(step.where, "is of the system; send it as `instructions` of a response")


def _refuse_files(step: Step, has_files: bool) -> None:  # noqa: FBT001  # the one thing that it is about
    if has_files:
        raise refusal(step.where, "has a file; send files with the response that they are for")


def _message(role: str, kind: str, text: str) -> dict[str, Any]:
    notes: dict[str, Any] = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    return _item("message", role=role, content=[{"type": kind, "text": text, **notes}])


def _item(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"{PREFIXES[kind]}_{secrets.token_hex(16)}", "type": kind, "status": "completed", **fields}
