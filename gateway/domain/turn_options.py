"""What the sender of a message asks of the assistant beside an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from gateway.domain.exchange import CallOutput, Exchange

Json = Mapping[str, Any]

ALLOWED_TOOLS = "allowed_tools"
"""The type of a ``tool_choice`` that names the functions which the model may call, as Chat Completions writes it."""


def allows_only_some(choice: Any) -> TypeGuard[Json]:
    """Returns whether a ``tool_choice`` names the functions that the model may call."""
    return isinstance(choice, dict) and choice.get("type") == ALLOWED_TOOLS


def as_responses_write(choice: Any) -> Any:
    """Returns a ``tool_choice`` of Chat Completions as the Responses API writes it: what is named, or allowed, stands
    beside the type.
    """
    if not isinstance(choice, dict):
        return choice
    if allows_only_some(choice):
        allowed = choice[ALLOWED_TOOLS]
        return {"type": ALLOWED_TOOLS, **allowed, "tools": [*map(as_responses_write, allowed["tools"])]}
    return {"type": "function", **choice["function"]} if "function" in choice else choice


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How one turn is to be answered. Stored with the turn as JSON under these field names: a retry asks the same."""

    model: str = ""
    """The model to ask; empty: the assistant's own."""
    instructions: str | None = None
    """In place of the assistant's own, word for word; None: those."""
    additional_instructions: str = ""
    """What follows the instructions."""
    functions: tuple[Json, ...] = ()
    """Functions that the sender runs itself, each as ``name``, ``description`` and ``parameters`` (JSON Schema), and
    ``strict`` where it said so. A call of one ends the turn, unless it ``waits_for_outputs``."""
    waits_for_outputs: bool = False
    """Whether the turn waits in the table for the outputs of such calls, and then goes on."""
    hosted_tools: tuple[Json, ...] = ()
    """Tools that the assistant's server runs, as the Responses API writes them."""
    only_these_tools: bool = False
    """Whether the tools of the assistant itself are not offered."""
    parameters: Json = field(default_factory=dict)
    """Fields of a request, as Chat Completions writes them, such as ``temperature``."""
    outputs: tuple[CallOutput, ...] = ()
    """Results of the calls that the turn before ended with."""
    past: tuple[Exchange, ...] | None = None
    """What was said before, in place of what the conversation has; None: what it has."""
    inserted: tuple[Exchange, ...] = ()
    """What was said after the turns before this one and is none of them."""
    is_last: bool = False
    """Whether no turn follows it in its conversation, as its sender brings the past each time: then no thread is kept
    for it where the server does without."""
    is_program: bool = False
    """Whether a program reads the reply: then it has no lines of ours."""

    @property
    def function_names(self) -> frozenset[str]:
        return frozenset(each["name"] for each in self.functions)


NO_OPTIONS = TurnOptions()
