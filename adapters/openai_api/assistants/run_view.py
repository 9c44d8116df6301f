"""Runs and run steps as the API shows them: platform.openai.com/docs/api-reference/runs/object, .../run-steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.openai_api.ids import reply_of, run_of, step_of
from adapters.openai_api.outcome import failure_code, failure_of, is_cut_off, limit_of, usage_of
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import Failure, Turn, TurnState
from gateway.json_text import decode_json

Item = dict[str, Any]

EXPIRY_SECONDS = 600
"""``expires_at`` of a run, counted from when it was created."""
ANSWER_LIMIT = "max_completion_tokens"
EXPIRED_CODES = frozenset({"expired", "timed_out"})
UNSAID: Mapping[str, Any] = {
    "model": "",
    "instructions": "",
    "tools": [],
    "temperature": None,
    "top_p": None,
    "max_prompt_tokens": None,
    "max_completion_tokens": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": "auto",
}
"""What a run shows of fields that neither it nor its assistant has, and of all once its content is erased."""
ACTIVE = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
"""The states of a run that has not ended."""


def status_of(turn: Turn) -> str:
    """Returns the state of a run."""
    if not turn.state.is_resolved:
        if turn.awaits_outputs:
            return "requires_action"
        return "in_progress" if turn.state is TurnState.RUNNING else "queued"
    failure = failure_of(turn)
    if turn.state is TurnState.CANCELLED:
        return "cancelled"
    if failure is not None:
        return "expired" if failure.code in EXPIRED_CODES else "failed"
    return "incomplete" if is_cut_off(turn) else "completed"


def run_view(turn: Turn) -> Item:
    """Returns a run, without what its content said once that is erased."""
    address, status = turn.message.address, status_of(turn)
    fields = {**UNSAID, **decode_json(address.get("run", "{}"))}
    created, ended = int(turn.received_at), _seconds(turn.answered_at)
    return fields | {
        "id": run_of(turn.id),
        "object": "thread.run",
        "created_at": created,
        "thread_id": turn.message.key.channel,
        "assistant_id": address.get("assistant", ""),
        "status": status,
        "started_at": _seconds(turn.started_at),
        "expires_at": _expires_at(turn) if status in ACTIVE else None,
        "cancelled_at": ended if status == "cancelled" else None,
        "failed_at": ended if status == "failed" else None,
        "completed_at": ended if status in ("completed", "incomplete") else None,
        "required_action": required_action(turn.rounds[-1]) if status == "requires_action" else None,
        "last_error": last_error(failure_of(turn)) if status in ("failed", "expired") else None,
        "incomplete_details": {"reason": limit_of(turn) or ANSWER_LIMIT} if status == "incomplete" else None,
        "model": turn.model or fields["model"],
        "metadata": decode_json(address["metadata"]) if "metadata" in address else {},
        "usage": None if status in ACTIVE else usage_of(turn),
    }


def _expires_at(turn: Turn) -> int:
    """Returns until when a run waits, which may be longer where people have to approve what it does."""
    waits_until = turn.parking.expires_at if turn.parking is not None and turn.awaits_approval else 0.0
    return max(int(turn.received_at) + EXPIRY_SECONDS, int(waits_until))


def last_error(failure: Failure | None) -> Item | None:
    return None if failure is None else {"code": failure_code(failure), "message": failure.user_message}


def required_action(requested: CallRound) -> Item:
    calls = [_call(each, with_output=False) for each in requested.calls]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


def steps_of(turn: Turn) -> Sequence[Item]:
    """Returns the steps of a run, oldest first: one for each round of its sender's calls, and one for the reply."""
    rounds = [call_step(turn, index) for index, each in enumerate(turn.rounds) if _of_sender(turn, each)]
    return [*rounds, reply_step(turn)] if turn.reply else rounds


def call_step(turn: Turn, index: int) -> Item:
    requested, status = turn.rounds[index], status_of(turn)
    is_open = requested.is_open
    state = "completed" if not is_open else {"requires_action": "in_progress", "expired": "expired"}.get(status, status)
    details = {
        "type": "tool_calls",
        "tool_calls": [_call(each, with_output=True) for each in _of_sender(turn, requested)],
    }
    created = int(requested.requested_at)
    return step_view(turn, step_of(turn.id, index), details, state, created, None if is_open else created)


def reply_step(turn: Turn) -> Item:
    status = status_of(turn)
    state = "completed" if status == "incomplete" else status
    details = {"type": "message_creation", "message_creation": {"message_id": reply_of(turn.id)}}
    return step_view(
        turn, step_of(turn.id), details, state, int(turn.started_at or turn.received_at), _seconds(turn.answered_at)
    )


def step_view(
    turn: Turn, name: str, details: Mapping[str, Any], state: str, created_at: int, ended_at: int | None
) -> Item:
    return {
        "id": name,
        "object": "thread.run.step",
        "created_at": created_at,
        "assistant_id": turn.message.address.get("assistant", ""),
        "thread_id": turn.message.key.channel,
        "run_id": run_of(turn.id),
        "type": details["type"],
        "status": state,
        "step_details": details,
        "last_error": last_error(failure_of(turn)) if state == "failed" else None,
        "expired_at": ended_at if state == "expired" else None,
        "cancelled_at": ended_at if state == "cancelled" else None,
        "failed_at": ended_at if state == "failed" else None,
        "completed_at": ended_at if state == "completed" else None,
        "metadata": {},
        "usage": None if state == "in_progress" else usage_of(turn),
    }


def _of_sender(turn: Turn, requested: CallRound) -> Sequence[RequestedCall]:
    """Returns the calls of the functions that the sender has; the assistant's own tools are not shown to it."""
    return [call for call in requested.calls if call.name in turn.options.function_names]


def _call(call: RequestedCall, *, with_output: bool) -> Item:
    function: Item = {"name": call.name, "arguments": call.arguments}
    if with_output:
        function["output"] = call.output
    return {"id": call.id, "type": "function", "function": function}


def _seconds(at: float | None) -> int | None:
    return None if at is None else int(at)
