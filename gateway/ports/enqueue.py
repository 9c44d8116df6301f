"""What ``Store.enqueue_all`` takes and returns."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.conversations import Claim
from gateway.domain.models import DEFAULT_ASSISTANT, Message, Turn, TurnId


@dataclass(frozen=True, slots=True)
class AssistantRoute:
    """Which assistants may answer a message, by their names."""

    assistant: str = DEFAULT_ASSISTANT
    """The one that answers if nobody chose another."""
    choices: frozenset[str] = frozenset()
    """Those that people may have chosen for the conversation; an earlier choice of another one no longer counts."""

    def decide(self, asked: str, chosen: str) -> str:
        """Returns who answers. ``asked``: whom the message asks for; ``chosen``: that of the conversation; or ""."""
        return asked or (chosen if chosen in self.choices else self.assistant)


DEFAULT_ROUTE = AssistantRoute()


@dataclass(frozen=True, slots=True)
class EnqueueRequest:
    """A message to commit as a turn, see ``Store.enqueue_all``."""

    message: Message
    turn_id: TurnId
    owner: str | None = None
    """Who claims the conversation with it if that is idle; None: nobody."""
    received_by: str = ""
    """The receiving process, for the audit log; if the message has a waiting caller, that process is told of the
    outcome by a ClusterEvent."""
    max_backlog: int = 100
    """How many unfinished turns the conversation may have."""
    route: AssistantRoute = DEFAULT_ROUTE
    """Decides the assistant of the turn, unless the message asks for one."""


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    """The result of enqueueing a message."""

    turn: Turn
    is_new: bool
    """False: this message id was recorded before, or it joined; ``turn`` is the existing turn."""
    is_joined: bool = False
    """Whether the message became a part of ``turn`` just now, see ``Message.join``."""
    claim: Claim | None = None
    """Set when the conversation was idle and ``owner`` was given: the caller may start the turn at once."""
    cancelled: tuple[TurnId, ...] = ()
    """The turns that a message of kind STOP cancelled."""
