"""Rows to nouns and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.messages import Conversation, ConversationKey, Failure, Kind, Message, Turn, Usage
from storage import statements

KEY_AT = len(statements.TURN)


def conversation_of(row: Sequence[Any]) -> Conversation:
    """Reads a row that begins with statements.CONVERSATION."""
    return Conversation(row[0], ConversationKey(*row[1:6]), row[6], row[7])


def turns_of(rows: Sequence[Sequence[Any]]) -> list[Turn]:
    """Reads rows of statements.TURN with a conversation's key behind it; turns of one conversation share the key."""
    keys: dict[int, ConversationKey] = {}
    return [turn_of(row, keys.get(row[1]) or keys.setdefault(row[1], ConversationKey(*row[KEY_AT:]))) for row in rows]


def turn_of(row: Sequence[Any], key: ConversationKey) -> Turn:
    """Reads a row that begins with statements.TURN."""
    return Turn(
        id=row[0],
        conversation=row[1],
        seq=row[2],
        message=Message(key, row[3], row[4], row[5], row[6], row[7], row[8]),
        state=row[9],
        attempts=row[10],
        run_id=row[11],
        reply=row[12],
        files=row[13],
        failure=None if row[14] is None else Failure(*row[14:18]),
        usage=Usage(row[18], row[19]),
        parts=row[20],
        received_at=row[21],
        started_at=row[22],
        answered_at=row[23],
        delivered_at=row[24],
    )


def progress(turn: Turn) -> dict[str, Any]:
    """What a step of a turn changes."""
    failure = turn.failure
    return {
        "state": turn.state,
        "attempts": turn.attempts,
        "run_id": turn.run_id,
        "error_code": failure and failure.code,
        "error_sentence": failure and failure.sentence,
        "error_detail": failure and failure.detail,
        "error_retry_after": failure and failure.retry_after,
        "started_at": turn.started_at,
        "answered_at": turn.answered_at,
        "delivered_at": turn.delivered_at,
    }


def outcome(turn: Turn) -> dict[str, Any]:
    """What its answer changes: a reply is long, so it is sent to the database once."""
    usage = turn.usage
    answer = {"reply": turn.reply, "made": turn.files, "tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out}
    return progress(turn) | answer


def changed(turn: Turn, *, answered: bool, noted: bool) -> dict[str, Any]:
    """What has to be saved of a turn: a step, with the answer if that came by it, with what was noted of it."""
    columns = outcome(turn) if answered else progress(turn)
    return columns | {"parts": turn.parts} if noted else columns


def recorded(turn: Turn) -> dict[str, Any]:
    """A new row, but for the columns that a new turn leaves at their defaults."""
    message = turn.message
    more = {"kind": message.kind, "files": message.files} if message.files or message.kind is not Kind.ASK else {}
    return more | {
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


def adopted(turn: Turn) -> dict[str, Any]:
    """A row for a turn of the past."""
    return recorded(turn) | outcome(turn)


def key_of(key: ConversationKey, prefix: str = "") -> dict[str, str]:
    return {
        f"{prefix}platform": key.platform,
        f"{prefix}workspace": key.workspace,
        f"{prefix}channel": key.channel,
        f"{prefix}topic": key.topic,
        f"{prefix}user_id": key.user,
    }
