"""The interface to the database for the audit trail: what operators did, when, and to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class AuditedAction(StrEnum):
    """What an operator can do. Stored by its value. Comments say what ``OperatorAction.target`` holds."""

    TURN_RETRIED = "turn.retried"
    """The turn's id; the detail is that of the new turn."""
    CALL_DECIDED = "call.decided"
    """The turn's id; the detail is what was decided, and the tool."""
    CONVERSATION_RESET = "conversation.reset"
    """The conversation's number."""
    CONVERSATION_TAKEN_OVER = "conversation.taken_over"
    """The conversation's number; the detail is the id of the turn, here and in the next two."""
    CONVERSATION_ANSWERED = "conversation.answered"
    CONVERSATION_GIVEN_BACK = "conversation.given_back"
    PERSON_BLOCKED = "person.blocked"
    """Platform and id, such as ``slack:U1``; the detail is the reason."""
    PERSON_UNBLOCKED = "person.unblocked"
    PERSON_FORGOTTEN = "person.forgotten"
    PERSON_EXPORTED = "person.exported"
    MESSAGE_SENT = "message.sent"
    """The id of the turn that delivers it."""
    SCHEDULE_ADDED = "schedule.added"
    """The schedule's id."""
    SCHEDULE_CANCELLED = "schedule.cancelled"
    CALLBACK_RESENT = "callback.resent"
    """The callback's id."""
    CONFIGURATION_RELOADED = "configuration.reloaded"
    """The process that answered; the detail is what has changed, or why it refused."""
    COMMAND_RUN = "command.run"
    """The command's name."""
    FEEDBACK_EXPORTED = "feedback.exported"
    AUDIT_TRAIL_EXPORTED = "audit_trail.exported"
    SIGNED_IN = "signed_in"
    """Nothing; the detail is the role, how and from which network."""
    SIGNED_OUT = "signed_out"
    SIGN_IN_REFUSED = "sign_in.refused"
    """Nothing; the detail is why, how and from which network. Of a password, nobody knows who tried it."""


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """One entry of the audit trail."""

    number: int
    """Counts up; not every number exists."""
    at: float
    """Seconds since the epoch, by the database's clock."""
    actor: str
    """Who did it, such as ``operator`` or ``command line: ann``."""
    action: str
    """The value of an ``AuditedAction``; of a later version also another."""
    target: str = ""
    detail: str = ""
    """Never contains secrets or message text."""


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Criteria for entries. Empty fields match everything."""

    actor: str = ""
    """A part of it, ignoring case."""
    action: str = ""
    """Exactly."""
    target: str = ""
    """A part of the target or the detail, ignoring case."""
    since: float | None = None
    until: float | None = None


class AuditTrail(Protocol):
    """The audit trail. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def record(self, actor: str, action: AuditedAction | str, target: str = "", detail: str = "") -> None:
        """Stores an entry. Called after the change is stored, by whoever made it."""
        ...

    def find(self, criteria: ActionFilter, *, limit: int, before: int | None = None) -> Sequence[OperatorAction]:
        """Returns the matching entries with a number below ``before``, newest first."""
        ...
