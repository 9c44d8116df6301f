"""What one turn may take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.domain.errors import TooManyRounds
from gateway.domain.run_events import REASONING, CallsHeld, ToolCall
from gateway.domain.sentences import sentence
from gateway.policy.turn_limit import TurnCostLimit
from gateway.ports.budgets import ModelUsage

TOO_COSTLY = sentence(
    "The assistant used its tools until this message had cost as much as it may. Please ask for less at once."
)


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Used by the assistant runner."""

    reply_chars: int = 200_000
    """A longer reply is cut."""
    cost: TurnCostLimit | None = None
    """None: a turn may cost anything."""
    seconds: float = 600.0
    """How long an assistant may take for it."""
    approval_seconds: float = 3600.0
    """How long people may take to decide about a call of a tool."""

    def check_cost(self, event: ToolCall | CallsHeld, counted: Callable[[], Iterable[ModelUsage]], before: int) -> None:
        """Raises TooManyRounds if a tool is called in a turn that has cost as much as it may.

        ``before``: what it had cost when it began to wait, for people or for its sender's functions.
        """
        calls_tool = isinstance(event, CallsHeld) or (not event.done and event.name != REASONING)
        if calls_tool and self.cost is not None and self.cost.is_reached(counted(), before):
            why = "the turn has cost as much as it may, and more tools to run"
            raise TooManyRounds(why, user_message=TOO_COSTLY)
