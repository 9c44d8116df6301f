"""Turns for tests of the metrics, and a call of every method of Metrics."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.context import ChatContext
from gateway.domain.models import ConversationKey, Failure, Message, Turn, TurnId, TurnState, Usage
from gateway.observability.metrics import Metrics

TURN = Turn(
    TurnId("turn_1"),
    conversation_id=7,
    seq=1,
    message=Message(ConversationKey("slack", "T1", "C-secret", "topic-secret", "U-secret"), "M-secret", "text-secret"),
    state=TurnState.ANSWERED,
    usage=Usage(120, 30),
    model="model-secret",
    cost=2500,
    received_at=1000.0,
    started_at=1000.5,
    answered_at=1004.0,
)
FAILED = replace(TURN, state=TurnState.FAILED, failure=Failure("timed_out", "It took too long.", detail="d-secret"))
CANCELLED = replace(TURN, state=TurnState.CANCELLED)


def spoken_by(name: str, text: str) -> Turn:
    """Returns a turn of a conversation of several people."""
    return replace(TURN, message=replace(TURN.message, text=text, context=ChatContext(name)))


def all_of(metrics: Metrics) -> Metrics:
    """Calls every method of ``metrics``; returns it."""
    for turn in (TURN, FAILED, CANCELLED):
        metrics.accepted(turn)
        metrics.attempt_started(turn)
        metrics.turn_resolved(turn)
    metrics.deduplicated("slack")
    metrics.refused("slack", "rate_limited")
    metrics.run_retried(TURN, "unavailable")
    metrics.handed_over(replace(TURN, message=replace(TURN.message, caller="push staff Eve")))
    metrics.resumed(TURN)
    metrics.turn_held(TURN)
    metrics.passed_on("slack", "support", "unavailable")
    metrics.delivered(TURN, 0.2)
    metrics.undeliverable(TURN)
    metrics.lease_lost("slack")
    metrics.sweep_finished(0.003)
    metrics.set_conversations_in_progress(5)
    return metrics
