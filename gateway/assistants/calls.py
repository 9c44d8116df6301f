"""Function calls of a model: run at once, told as they begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from gateway.messages import ToolCall
from gateway.tools import ToolBox

MAX_ROUNDS = 20
"""How often a model may call tools for one turn: it would go on for ever, now and then."""
TOO_MANY_ROUNDS = "The assistant got lost in its tools. Please ask in another way."


@dataclass(frozen=True, slots=True)
class FunctionCall:
    id: str
    name: str
    arguments: str


async def perform(
    toolbox: ToolBox, calls: Sequence[FunctionCall], outputs: dict[str, str]
) -> AsyncGenerator[ToolCall, None]:
    """Run the calls that have no output yet, all at the same time. Each output is put under the call's id."""
    tasks = {
        call: asyncio.create_task(toolbox.call(call.name, call.arguments)) for call in calls if call.id not in outputs
    }
    try:
        for call in tasks:
            yield ToolCall(call.id, call.name, call.arguments)
        for call, task in tasks.items():
            output = outputs[call.id] = await task
            yield ToolCall(call.id, call.name, call.arguments, output, done=True)
    finally:
        for task in tasks.values():
            task.cancel()
