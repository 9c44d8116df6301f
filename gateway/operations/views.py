"""Turns as JSON: for operators, and for those who wrote the messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from gateway import logs
from gateway.domain.approvals import Approval
from gateway.domain.files import File
from gateway.domain.models import Turn

CONTROL_ESCAPES = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON leaves as they are, but a terminal may obey. JSON escapes all others itself."""


def iso(at: float) -> str:
    """Returns a time as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(value: object, indent: int | None = None) -> str:
    """Returns JSON that is safe to print to a terminal."""
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(CONTROL_ESCAPES)


def turn_view(turn: Turn) -> dict[str, Any]:
    """Returns a turn as operators see it: with its audit log and the detail of its failure."""
    failure = turn.failure
    return person_view(turn) | {
        "platform": turn.message.key.platform,
        "channel": turn.message.key.channel,
        "user": turn.message.author,
        "attempts": turn.attempts,
        "run_id": turn.run_id,
        "model": turn.model,
        "cost": turn.cost,
        "cost_is_estimate": turn.cost_is_estimate,
        "parts": list(turn.posted_messages),
        "error": failure
        and {"code": failure.code, "message": failure.user_message, "detail": logs.mask(failure.detail)},
        "waits_for": parking_text(turn) or None,
        "handover": turn.handover.value or None,
        "trail": [{"at": iso(entry.at), "what": entry.event.value, "detail": entry.detail} for entry in turn.audit_log],
        "erased_at": _iso(turn.erased_at),
    }


def parking_text(turn: Turn) -> str:
    """Returns what a turn waits for in the table, and until when at the latest; empty when it does not."""
    if not turn.is_parked or turn.parking is None:
        return ""
    parking = turn.parking
    return f"{parking.reason}, since {iso(parking.since)}, until {iso(parking.expires_at)} at the latest"


def person_view(turn: Turn) -> dict[str, Any]:
    """Returns a turn as its author may see it."""
    failure = turn.failure
    return {
        "turn_id": turn.id,
        "conversation": turn.conversation_id,
        "seq": turn.seq,
        "kind": turn.message.kind.value,
        "assistant": turn.assistant,
        "state": turn.state.value,
        "message": turn.message.text,
        "files": [_file(file) for file in turn.message.files],
        "reply": turn.reply,
        "reply_files": [_file(file) for file in turn.reply_files],
        "error": failure and {"code": failure.code, "message": failure.user_message},
        "tokens": {"in": turn.usage.tokens_in, "out": turn.usage.tokens_out},
        "received_at": iso(turn.received_at),
        "started_at": _iso(turn.started_at),
        "answered_at": _iso(turn.answered_at),
        "delivered_at": _iso(turn.delivered_at),
    }


def decision_view(approval: Approval) -> dict[str, Any]:
    """Returns a decision about a call as the person may see it who made it."""
    return {
        "turn_id": approval.turn_id,
        "tool": approval.tool,
        "decision": approval.decision,
        "decided_at": _iso(approval.decided_at),
    }


def approval_view(approval: Approval) -> dict[str, Any]:
    """Returns a call that people have to approve as operators see it."""
    return decision_view(approval) | {
        "arguments": logs.mask(approval.arguments),
        "approvers": list(approval.approvers),
        "decided_by": approval.decided_by,
        "decided_name": approval.decided_name,
        "asked_at": iso(approval.requested_at),
        "begun_at": _iso(approval.started_at),
    }


def _file(file: File) -> dict[str, Any]:
    return {"name": file.name, "media_type": file.media_type, "size": file.size}


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)
