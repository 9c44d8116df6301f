"""Responses and their items, as their API returns them: developers.openai.com/api/reference/resources/responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.openai_api.ids import name_of, reply_of, response_id
from adapters.openai_api.outcome import calls_of, failure_code, failure_of, is_cut_off, refusal_of, text_of
from gateway.domain.carried_reasoning import to_carry
from gateway.domain.exchange import CallOutput, Exchange, RequestedCall
from gateway.domain.models import Failure, Turn, TurnState
from gateway.domain.past import is_answered
from gateway.domain.turn_options import as_responses_write
from gateway.json_text import decode_json

ECHO = "echo"
"""Where a turn's address has what the response repeats of its request."""
HISTORY = "history"
"""Where it says which of the exchanges that the turn inserts its request had: the first, and that after the last."""
STATUS = {TurnState.QUEUED: "queued", TurnState.RUNNING: "in_progress", TurnState.CANCELLED: "cancelled"}

Body = dict[str, Any]


def echo_of(turn: Turn) -> Mapping[str, Any]:
    """Returns what the response repeats of its request; {} for a turn that is no response, or was erased."""
    found: Mapping[str, Any] = decode_json(turn.message.address.get(ECHO, "{}"))
    return found


def response_body(turn: Turn) -> Body:
    """Returns a response in its present state."""
    echo, options = echo_of(turn), turn.options
    failure = failure_of(turn)
    cut_off = failure is None and turn.state.is_resolved and is_cut_off(turn)
    parameters = options.parameters
    return {
        "id": response_id(turn.id),
        "object": "response",
        "created_at": int(turn.received_at),
        "completed_at": int(turn.answered_at) if _is_completed(turn) and turn.answered_at else None,
        "status": "incomplete" if cut_off else _status(turn),
        "background": echo.get("background", False),
        "error": _error(failure) if failure and turn.state is TurnState.FAILED else None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut_off else None,
        "instructions": echo.get("instructions"),
        "max_output_tokens": parameters.get("max_completion_tokens"),
        "model": echo.get("model", ""),
        "output": output_items(turn) if turn.state.is_resolved else [],
        "parallel_tool_calls": parameters.get("parallel_tool_calls", True),
        "previous_response_id": echo.get("previous_response_id"),
        "conversation": {"id": echo["conversation"]} if echo.get("conversation") else None,
        "reasoning": {"effort": parameters.get("reasoning_effort"), "summary": None},
        "store": echo.get("store", True),
        "temperature": parameters.get("temperature"),
        "text": _text(parameters),
        "tool_choice": as_responses_write(parameters.get("tool_choice", "auto")),
        "tools": [{"type": "function", "strict": None, **each} for each in options.functions],
        "top_p": parameters.get("top_p"),
        "truncation": "auto",
        "usage": _usage(turn) if turn.state.is_resolved else None,
        "user": turn.message.author or None,
        "metadata": echo.get("metadata") or {},
    }


def output_items(turn: Turn) -> list[Body]:
    """Returns what the assistant said and called. A turn without both has an empty message."""
    calls = [call_item(turn, number, call) for number, call in enumerate(calls_of(turn))]
    is_said = text_of(turn) or refusal_of(turn)
    said = [message_item(turn, parts_of(turn))] if is_said or not calls else []
    return [*said, *reasoning_items(turn), *calls]


def reasoning_items(turn: Turn) -> list[Body]:
    """Returns what the caller is to bring again with the results of the calls, if it asked for it; at most one item."""
    carried = to_carry(turn.returned) if "include" in turn.options.parameters else ""
    item = {"id": f"rs_{name_of(turn.id)}", "type": "reasoning", "summary": [], "encrypted_content": carried}
    return [item] if carried else []


def parts_of(turn: Turn) -> list[Body]:
    """Returns the content of the assistant's message: text, refusal, or text that ends with one; at least a part."""
    text, refusal = text_of(turn), refusal_of(turn)
    return [*([text_part(text)] if text or not refusal else []), *([refusal_part(refusal)] if refusal else [])]


def message_item(turn: Turn, parts: Sequence[Body], status: str = "") -> Body:
    """Returns the message of the assistant. ``status``: if not that of the outcome."""
    final = "completed" if _is_completed(turn) and not is_cut_off(turn) else "incomplete"
    return {
        "id": reply_of(turn.id),
        "type": "message",
        "status": status or final,
        "role": "assistant",
        "content": parts,
    }


def text_part(text: str) -> Body:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> Body:
    return {"type": "refusal", "refusal": text}


def call_item(turn: Turn, number: int, call: RequestedCall, status: str = "completed") -> Body:
    return _call(f"{name_of(turn.id)}_{number}", call, status)


def _call(name: str, call: RequestedCall, status: str) -> Body:
    return {
        "id": f"fc_{name}",
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": "" if status == "in_progress" else call.arguments,
    }


def input_items(turn: Turn) -> list[Body]:
    """Returns what the caller said with a turn: of what it said before, first, and of what is answered."""
    name, message, outputs = name_of(turn.id), turn.message, turn.options.outputs
    begin, end = echo_of(turn).get(HISTORY, (0, 0))
    said = enumerate(turn.options.inserted[begin:end])
    earlier = [item for number, each in said for item in _items_of_exchange(f"{name}_h{number}", each)]
    asks = message.text or message.files or not outputs
    return [*earlier, *_outputs(name, outputs), *([_user_item(name, message.own_text)] if asks else [])]


def _items_of_exchange(name: str, exchange: Exchange) -> list[Body]:
    user = [_user_item(name, exchange.text)] if exchange.text else []
    reply = [_message(f"msg_{name}_a", "assistant", text_part(exchange.reply))] if exchange.reply else []
    calls = [_call(f"{name}_{number}", call, "completed") for number, call in enumerate(exchange.calls)]
    return [*_outputs(name, exchange.outputs), *user, *reply, *calls]


def _outputs(name: str, outputs: Sequence[CallOutput]) -> list[Body]:
    fields = {"type": "function_call_output", "status": "completed"}
    return [
        {"id": f"fco_{name}_{number}", **fields, "call_id": each.call_id, "output": each.output}
        for number, each in enumerate(outputs)
    ]


def _user_item(name: str, text: str) -> Body:
    return _message(f"msg_{name}_u", "user", {"type": "input_text", "text": text})


def _message(name: str, role: str, part: Body) -> Body:
    return {"id": name, "type": "message", "status": "completed", "role": role, "content": [part]}


def items_of_turn(turn: Turn) -> list[Body]:
    """Returns the items that a turn added to its conversation."""
    if turn.erased_at is not None:
        return []
    return [*input_items(turn), *(output_items(turn) if is_answered(turn) else ())]


def _is_completed(turn: Turn) -> bool:
    return turn.state.is_resolved and failure_of(turn) is None


def _status(turn: Turn) -> str:
    return STATUS.get(turn.state) or ("failed" if failure_of(turn) else "completed")


def _error(failure: Failure) -> Body:
    return {"code": failure_code(failure), "message": failure.user_message}


def _text(parameters: Mapping[str, Any]) -> Body:
    verbosity = {"verbosity": parameters["verbosity"]} if "verbosity" in parameters else {}
    return {"format": _text_format(parameters.get("response_format")), **verbosity}


def _text_format(response_format: Any) -> Body:
    if not isinstance(response_format, dict):
        return {"type": "text"}
    return {"type": response_format.get("type"), **response_format.get("json_schema", {})}


def _usage(turn: Turn) -> Body:
    taken, written = turn.usage.tokens_in, turn.usage.tokens_out
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": taken + written,
    }
