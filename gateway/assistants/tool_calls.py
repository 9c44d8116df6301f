"""Function calls of a model: run concurrently and reported as they start and finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from gateway.domain.models import ToolCall
from gateway.tools import ToolBox

MAX_ROUNDS = 20
"""How often a model may call tools in one turn; now and then a model would never stop."""
TOO_MANY_ROUNDS = "The assistant used its tools too often without finding an answer. Please ask in another way."


@dataclass(frozen=True, slots=True)
class FunctionCall:
    id: str
    name: str
    arguments: str


async def run_calls(
    toolbox: ToolBox, calls: Sequence[FunctionCall], outputs: dict[str, str]
) -> AsyncGenerator[ToolCall, None]:
    """Runs the calls that have no output yet, concurrently. Stores each output in ``outputs`` under the call's id."""
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
