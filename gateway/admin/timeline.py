"""The stages of a turn with their durations, and its retries. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.domain.audit import AuditEvent
from gateway.domain.models import Turn, TurnId

RETRY_PREFIX = "retry:"
"""Prefix of the message id of a turn that retries another turn; the other turn's id follows."""


@dataclass(frozen=True, slots=True)
class TurnStage:
    """A stage of a turn. ``begin`` and ``share`` are fractions of the turn's total time, from 0 to 1."""

    name: str
    seconds: float
    begin: float
    share: float


def stages(turn: Turn) -> Sequence[TurnStage]:
    """Returns the completed stages of waiting, running and delivering."""
    times = [turn.received_at, turn.started_at, turn.answered_at, turn.delivered_at]
    reached = [at for at in times if at is not None]
    whole = max(reached[-1] - reached[0], 1e-9)
    known = [
        (name, since, until)
        for name, (since, until) in zip(("waiting", "running", "delivering"), pairwise(times), strict=True)
        if since is not None and until is not None
    ]
    return [
        TurnStage(name, max(0.0, until - since), max(0.0, since - reached[0]) / whole, max(0.0, until - since) / whole)
        for name, since, until in known
    ]


def retried_as(turn: Turn) -> TurnId | None:
    """Returns the turn that retries this one, if any."""
    return next((TurnId(step.detail) for step in turn.audit_log if step.event is AuditEvent.RETRIED_AS), None)


def retry_of(turn: Turn) -> TurnId | None:
    """Returns the turn that this one retries, if any."""
    message_id = turn.message.message_id
    return TurnId(message_id.removeprefix(RETRY_PREFIX)) if message_id.startswith(RETRY_PREFIX) else None
