"""Maps rows to domain models and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.domain.models import Conversation, ConversationKey, Failure, Kind, Message, Turn, Usage
from storage import sql

AWAITED_AT = 9
"""Index of the process that awaits the outcome, in a row of sql.TURN."""
KEY_AT = len(sql.TURN)


def conversation_of(row: Sequence[Any]) -> Conversation:
    """Reads a row that begins with sql.CONVERSATION."""
    return Conversation(row[0], ConversationKey(*row[1:6]), row[6], row[7])


def turns_of(rows: Sequence[Sequence[Any]]) -> list[Turn]:
    """Reads rows of sql.TURN followed by sql.KEY; turns of one conversation share the key object."""
    keys: dict[int, ConversationKey] = {}
    return [turn_of(row, keys.get(row[1]) or keys.setdefault(row[1], ConversationKey(*row[KEY_AT:]))) for row in rows]


def turn_of(row: Sequence[Any], key: ConversationKey) -> Turn:
    """Reads a row that begins with sql.TURN."""
    return Turn(
        id=row[0],
        conversation=row[1],
        seq=row[2],
        message=_message_of(row, key),
        state=row[11],
        attempts=row[12],
        run_id=row[13],
        reply=row[14],
        files=row[15],
        failure=None if row[16] is None else Failure(*row[16:20]),
        usage=Usage(row[20], row[21]),
        model=row[22],
        cost=row[23],
        parts=row[24],
        trail=row[25],
        received_at=row[26],
        started_at=row[27],
        answered_at=row[28],
        delivered_at=row[29],
        erased_at=row[30],
    )


def _message_of(row: Sequence[Any], key: ConversationKey) -> Message:
    awaited = row[AWAITED_AT] is not None
    return Message(key, row[3], row[4], row[5], row[6], row[7], row[8], awaited=awaited, trace=row[10])


def progress(turn: Turn) -> dict[str, Any]:
    """Returns the columns that a state transition changes."""
    return _failure(turn) | {
        "state": turn.state,
        "attempts": turn.attempts,
        "run_id": turn.run_id,
        "started_at": turn.started_at,
        "answered_at": turn.answered_at,
        "delivered_at": turn.delivered_at,
    }


def outcome(turn: Turn) -> dict[str, Any]:
    """Returns the columns that an outcome changes. A reply is long, so it is sent to the database only once."""
    return progress(turn) | {
        "reply": turn.reply,
        "made": turn.files,
        "tokens_in": turn.usage.tokens_in,
        "tokens_out": turn.usage.tokens_out,
        "model": turn.model,
        "cost": turn.cost,
    }


def changed(turn: Turn, *, answered: bool, noted: bool, marked: bool) -> dict[str, Any]:
    """Returns the columns to save: the transition, plus outcome, posted messages and audit log if they changed."""
    columns = outcome(turn) if answered else progress(turn)
    if noted:
        columns["parts"] = turn.parts
    if marked:
        columns["trail"] = turn.trail
    return columns


def recorded(turn: Turn, awaited_by: str = "") -> dict[str, Any]:
    """Returns the columns of a new turn, without those that keep their defaults."""
    message = turn.message
    optional = {"kind": message.kind, "files": message.files} if message.files or message.kind is not Kind.ASK else {}
    rarely_set = {"trail": turn.trail, "trace": message.trace, "awaited_by": awaited_by}
    return {
        **optional,
        **{name: value for name, value in rarely_set.items() if value},
        "conversation_id": turn.conversation,
        "seq": turn.seq,
        "id": turn.id,
        "platform": message.key.platform,
        "message_id": message.message_id,
        "text": message.text,
        "author": message.author,
        "address": message.address,
        "state": turn.state,
        "attempts": turn.attempts,
        "received_at": turn.received_at,
        "started_at": turn.started_at,
    }


def decided(turn: Turn) -> dict[str, Any]:
    """Returns the columns of a new turn that already has an outcome."""
    return recorded(turn) | outcome(turn) | {"parts": turn.parts}


def key_of(key: ConversationKey, prefix: str = "") -> dict[str, str]:
    return {
        f"{prefix}platform": key.platform,
        f"{prefix}workspace": key.workspace,
        f"{prefix}channel": key.channel,
        f"{prefix}topic": key.topic,
        f"{prefix}user_id": key.user,
    }


def _failure(turn: Turn) -> dict[str, Any]:
    failure = turn.failure
    return {
        "error_code": failure and failure.code,
        "error_sentence": failure and failure.sentence,
        "error_detail": failure and failure.detail,
        "error_retry_after": failure and failure.retry_after,
    }
