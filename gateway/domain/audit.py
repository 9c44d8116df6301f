"""What an audit log records of a turn."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class AuditEvent(StrEnum):
    """What an audit log records beside the states and times of a turn. Comments say what ``detail`` holds."""

    RECEIVED = "received by"
    """The process."""
    CLAIMED = "claimed by"
    """The process."""
    RUN_STARTED = "run"
    """The run id."""
    RUN_RETRIED = "asked again"
    """Why the run was repeated."""
    CUT_OFF = "cut off"
    """At which setting of ours, or at PROMPT_LIMIT; empty for another limit of the assistant. The reply ends there."""
    RESUMED_AFTER_PAUSE = "went on after a pause by"
    """The process, which was suspended for longer than its lease; no other process had claimed the turn meanwhile."""
    RELEASED = "handed back by"
    """The process that released its lease on the unfinished turn."""
    REASSIGNED = "passed on to"
    """The assistant that is asked instead, and why the one before it did not answer."""
    DELIVERY_DEFERRED = "delivery put off"
    """Why the platform has not accepted the reply yet."""
    RETRIED_AS = "retried as"
    """The id of the new turn that an operator created as a retry."""


class AuditEntry(NamedTuple):
    """One entry of a turn's audit log. A tuple, as that is what JSON makes of it."""

    at: float
    event: AuditEvent
    detail: str = ""
    """Never contains secrets or message text."""
