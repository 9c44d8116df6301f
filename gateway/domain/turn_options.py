"""What the sender of a message asks of the assistant beside an answer. Imports nothing of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How one turn is to be answered. Stored as JSON under these field names."""

    model: str = ""
    """The model to ask; empty: the assistant's own."""
    instructions: str | None = None
    """In place of the assistant's own, word for word; None: those."""
    additional_instructions: str = ""
    """What follows the instructions."""
    functions: tuple[Json, ...] = ()
    """Functions that the sender runs itself, each as ``name``, ``description`` and ``parameters`` (JSON Schema)."""
    hosted_tools: tuple[Json, ...] = ()
    """Tools that the backend's server runs, as the Responses API writes them."""
    only_these_tools: bool = False
    """Whether the assistant's own tools are not offered."""
    parameters: Json = field(default_factory=dict)
    """Fields of a request, as chat completions write them: ``temperature``, ``top_p``, ``max_completion_tokens``,
    ``response_format``, ``tool_choice``, ``parallel_tool_calls``, ``reasoning_effort``."""
    history: tuple[tuple[str, str], ...] = ()
    """Messages and replies that were not turns here, and come directly before this one."""


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A call of one of ``TurnOptions.functions``."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    output: str | None = None
    """What the sender says that it returned; None: nothing yet."""


@dataclass(frozen=True, slots=True)
class CallRound:
    """The calls that a model requested together, and for whose outputs it waits. Stored as JSON."""

    calls: tuple[RequestedCall, ...]
    state: str = ""
    """What the backend needs to go on. Opaque: only the backend that wrote it interprets it."""
    requested_at: float = 0.0
    """In seconds since the epoch, by the database's clock."""

    @property
    def is_open(self) -> bool:
        """Whether an output is still missing."""
        return any(call.output is None for call in self.calls)
