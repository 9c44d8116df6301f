"""Function calls of a model: run concurrently and reported as they start and finish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.assistants.attachments import BinaryPart, MessagePart, to_parts
from gateway.assistants.json_fields import as_text
from gateway.assistants.sse import Json
from gateway.domain.approvals import HeldCall
from gateway.domain.errors import TooManyRounds
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import Usage
from gateway.domain.run_events import ToolCall
from gateway.json_text import decode_json
from gateway.tools import ToolBox, ToolResult

INVALID_ARGUMENTS = "invalid_json"
"""The name under which arguments that are not a JSON object go back."""
MAX_ROUNDS = 20
"""How often a model may call tools in one turn; now and then a model would never stop."""


def check_tokens(usage: Usage, max_tokens: int) -> None:
    """Raises TooManyRounds if a turn has used so many tokens that its tools may not be run any more."""
    if (used := usage.tokens_in + usage.tokens_out) > max_tokens:
        raise TooManyRounds(f"{used} tokens in one turn, and more tools to run")


@dataclass(frozen=True, slots=True)
class FunctionCall:
    id: str
    name: str
    arguments: str


NOBODY: Mapping[FunctionCall, Sequence[str]] = MappingProxyType({})


def called_name(name: Any) -> str:
    """Returns the name of a function that a model calls, without the namespace and the tokens of the harmony format.

    Servers leave them there for gpt-oss: ``functions.add``, ``add<|channel|>commentary``.
    """
    return as_text(name).partition("<|")[0].strip().removeprefix("functions.")


def arguments_text(arguments: Any) -> str:
    """Returns arguments as text: Ollama's own API and some proxies send an object."""
    return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else as_text(arguments)


def arguments_to_run(arguments: Any) -> str:
    """Returns the arguments of a call as a tool takes them: JSON decoded once, ``{}`` for none, else as they came."""
    written = arguments_text(arguments).strip()
    if written in {"", "null", '""'}:
        return "{}"
    given = None if written.startswith("{") else parse_arguments(written)
    return written if given is None else json.dumps(given, ensure_ascii=False)


def arguments_to_return(arguments: Any) -> str:
    """Returns the arguments of a call as they go back: servers parse them, so they are always a JSON object."""
    run = arguments_to_run(arguments)
    return run if parse_arguments(run) is not None else json.dumps({INVALID_ARGUMENTS: run}, ensure_ascii=False)


def parse_arguments(text: str) -> Json | None:
    """Returns the object of arguments, which may be encoded twice; None if they are not an object."""
    value: Any = text
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = decode_json(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def held_calls(toolbox: ToolBox, calls: Iterable[FunctionCall]) -> tuple[HeldCall, ...]:
    """Returns the calls of a round with who may approve them; none if nobody has to approve any of them."""
    held = tuple(_held(toolbox, call) for call in calls)
    return held if any(each.approvers for each in held) else ()


def _held(toolbox: ToolBox, call: FunctionCall) -> HeldCall:
    approvers = toolbox.approvers_of(call.name, call.arguments)
    # What people are shown is what runs: of a name that is there twice, for example, the last value.
    arguments = arguments_to_return(json.loads(call.arguments)) if approvers else call.arguments
    return HeldCall(RequestedCall(call.id, call.name, arguments), approvers)


def ran_calls(
    calls: Iterable[FunctionCall], outputs: Mapping[str, ToolResult], text: str, returned: str = ""
) -> CallRound:
    """Returns a round of calls that have run. ``text``: what the assistant said before them."""
    ran = tuple(RequestedCall(each.id, each.name, each.arguments, outputs[each.id].text) for each in calls)
    return CallRound(ran, text, returned=returned)


def run_approved(toolbox: ToolBox, held: Iterable[HeldCall]) -> AsyncGenerator[ToolCall, None]:
    """Runs held calls that people have approved, or that nobody had to, at the same time."""
    approvers = {FunctionCall(each.call.id, each.call.name, each.call.arguments): each.approvers for each in held}
    return run_calls(toolbox, tuple(approvers), {}, approvers)


async def run_calls(
    toolbox: ToolBox,
    calls: Sequence[FunctionCall],
    outputs: dict[str, ToolResult],
    approvers: Mapping[FunctionCall, Sequence[str]] = NOBODY,
) -> AsyncGenerator[ToolCall, None]:
    """Runs the calls that have no output yet, concurrently. Stores each output in ``outputs`` under the call's id.

    ``approvers``: who could approve which of them, and did.
    """
    tasks = {
        call: asyncio.create_task(toolbox.call(call.name, call.arguments, approvers=approvers.get(call, ())))
        for call in calls
        if call.id not in outputs
    }
    try:
        for call in tasks:
            yield ToolCall(call.id, call.name, call.arguments)
        for call, task in tasks.items():
            result = outputs[call.id] = await task
            yield ToolCall(call.id, call.name, call.arguments, result.text, done=True, files=result.for_reply)
    finally:
        for task in tasks.values():
            task.cancel()


def parts_for_model(results: Iterable[ToolResult]) -> list[MessagePart]:
    """Returns what of the files that tools returned a model may be shown: images, and texts."""
    parts = to_parts(file for result in results for file in result.for_model)
    return [part for part in parts if not isinstance(part, BinaryPart) or part.is_image]
