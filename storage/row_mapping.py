"""Maps rows to domain models and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.domain.conversations import Conversation
from gateway.domain.exchange import CallRound
from gateway.domain.handover import Handover, HandoverPart
from gateway.domain.models import ConversationKey, Failure, Message, MessageKind, Turn, Usage
from storage import sql

AWAITED_BY_INDEX = 9
"""Index of the process that awaits the outcome, in a row of sql.TURN."""
KEY_INDEX = len(sql.TURN)


def to_conversation(row: Sequence[Any]) -> Conversation:
    """Reads a row that begins with sql.CONVERSATION."""
    thread, backend, assistant, chosen, *handover = row[6:12]
    return Conversation(
        row[0], ConversationKey(*row[1:6]), thread, backend, assistant, chosen, handover=to_handover(*handover)
    )


def to_handover(seq: int | None, since: float | None) -> Handover | None:
    """Reads the columns of a conversation that say whether a person answers there."""
    return None if seq is None or since is None else Handover(seq, since)


def to_turns(rows: Sequence[Sequence[Any]]) -> list[Turn]:
    """Reads rows of sql.TURN followed by sql.KEY; turns of one conversation share the key object."""
    keys: dict[int, ConversationKey] = {}
    return [
        to_turn(row, keys.get(row[1]) or keys.setdefault(row[1], ConversationKey(*row[KEY_INDEX:]))) for row in rows
    ]


def to_turn(row: Sequence[Any], key: ConversationKey) -> Turn:
    """Reads a row that begins with sql.TURN."""
    return Turn(
        id=row[0],
        conversation_id=row[1],
        seq=row[2],
        message=_to_message(row, key),
        state=row[11],
        attempts=row[12],
        run_id=row[13],
        reply=row[14],
        reply_files=row[15],
        failure=_to_failure(row),
        usage=Usage(row[20], row[21]),
        model=row[22],
        cost=row[23],
        posted_messages=row[24],
        audit_log=row[25],
        received_at=row[26],
        started_at=row[27],
        answered_at=row[28],
        delivered_at=row[29],
        erased_at=row[30],
        cost_is_estimate=row[31],
        parking=row[34],
        assistant=row[35],
        calls=row[38],
        returned=_returned_with_calls(row[39], row[42]),
        rounds=_to_rounds(row[39], row[42]),
        handover=_to_handover_part(row[41]),
        refusal=row[43] or "",
    )


def to_past_turn(row: Sequence[Any], later: Turn) -> Turn:
    """Reads a row of sql.PAST_TURN, of the conversation of a later turn; what is not there is as in a new turn."""
    turn_id, seq, message_id, text, author, kind, files, state, reply, made = row[:10]
    caller, context, command, options, calls, rounds, handover, returned = row[10:]
    message = Message(
        *(later.message.key, message_id, text, author),
        kind=_to_kind(kind, command, handover),
        files=files,
        caller=caller,
        context=context,
        options=options,
    )
    return Turn(
        *(turn_id, later.conversation_id, seq, message, state),
        reply=reply,
        reply_files=made,
        calls=calls,
        returned=_returned_with_calls(rounds, returned),
        rounds=_to_rounds(rounds, returned),
        handover=_to_handover_part(handover),
    )


def _to_rounds(rounds: tuple[CallRound, ...], returned: tuple[str, ...]) -> tuple[CallRound, ...]:
    """Returns rounds with what goes back with them. The newest may be of a version that does not keep that."""
    if not returned:
        return rounds
    kept = (replace(each, returned=back) for each, back in zip(rounds, returned, strict=False))
    return (*kept, *rounds[len(returned) :])


def _returned_with_calls(rounds: tuple[CallRound, ...], returned: tuple[str, ...]) -> str:
    """Returns what goes back with the calls of the reply, which comes after that of the rounds."""
    return returned[len(rounds)] if len(returned) > len(rounds) else ""


def _returned_of(turn: Turn) -> tuple[str, ...]:
    if not turn.rounds:
        return (turn.returned,) if turn.returned else ()
    found = (*(each.returned for each in turn.rounds), turn.returned)
    return found if any(found) else ()


def _to_kind(kind: MessageKind, command: str, handover: str) -> MessageKind:
    """Returns the kind of a message, of the three columns that say it."""
    newer = handover if handover in HANDOVER_KINDS else command
    return MessageKind(newer) if newer else kind


def _to_handover_part(handover: str) -> HandoverPart:
    return HandoverPart.NONE if handover in HANDOVER_KINDS else HandoverPart(handover)


def _to_message(row: Sequence[Any], key: ConversationKey) -> Message:
    awaited, kind = row[AWAITED_BY_INDEX] is not None, _to_kind(row[7], row[36], row[41])
    return Message(
        *(key, row[3], row[4], row[5], row[6], kind, row[8]),
        has_waiting_caller=awaited,
        traceparent=row[10],
        caller=row[32],
        context=row[33],
        options=row[37],
    )


def _to_failure(row: Sequence[Any]) -> Failure | None:
    if row[16] is None:
        return None
    # A version that does not know the parts may have stored another sentence.
    sentence = row[40] if row[40] == row[17] else row[17]
    return Failure(row[16], sentence, row[18], row[19])


def progress_columns(turn: Turn) -> dict[str, Any]:
    """Returns the columns that a state transition changes."""
    return _failure_columns(turn) | {
        "state": turn.state,
        "attempts": turn.attempts,
        "run_id": turn.run_id,
        "started_at": turn.started_at,
        "answered_at": turn.answered_at,
        "delivered_at": turn.delivered_at,
        "parking": turn.parking,
        "assistant": turn.assistant,
        "handover": _handover_mark(turn),
    }


def outcome_columns(turn: Turn) -> dict[str, Any]:
    """Returns the columns that an outcome changes. A reply is long, so it is sent to the database only once."""
    return progress_columns(turn) | {
        "reply": turn.reply,
        "made": turn.reply_files,
        "calls": turn.calls,
        "returned": _returned_of(turn),
        "refusal": turn.refusal or None,
        "tokens_in": turn.usage.tokens_in,
        "tokens_out": turn.usage.tokens_out,
        "model": turn.model,
        "cost": turn.cost,
        "cost_is_estimate": turn.cost_is_estimate,
    }


def changed_columns(turn: Turn, stored: Turn) -> dict[str, Any]:
    """Returns the columns to save: the transition, plus those of the others that were changed; not the audit log."""
    columns = outcome_columns(turn) if _has_new_outcome(turn, stored) else progress_columns(turn)
    if turn.posted_messages != stored.posted_messages:
        columns["parts"] = turn.posted_messages
    if turn.message.context != stored.message.context:
        columns |= {"context": turn.message.context, "files": turn.message.files}
    if turn.rounds != stored.rounds:
        columns["rounds"] = turn.rounds
        columns["returned"] = _returned_of(turn)
    if turn.message.kind is not stored.message.kind:  # a command became a question
        said = turn.message
        columns |= {"text": said.text, "files": said.files, "author": said.author, "address": said.address}
        columns["kind"] = said.kind
    return columns


def _has_new_outcome(turn: Turn, stored: Turn) -> bool:
    return (turn.answered_at, turn.reply, turn.cost, turn.usage) != (
        *(stored.answered_at, stored.reply, stored.cost, stored.usage),
    )


NEW_TURN_COLUMNS = (
    *("conversation_id", "seq", "id", "platform", "message_id", "text", "author", "address", "kind", "files"),
    *("awaited_by", "caller", "context", "options", "trace", "state", "attempts", "trail", "received_at", "started_at"),
    *("assistant", "command", "handover"),
)
HANDOVER_KINDS = (MessageKind.HAND_OVER, MessageKind.RESUME)  # a set would hash the kind by Python's code
UNKNOWN_TO_EARLIER_VERSIONS = (MessageKind.CHOOSE, *HANDOVER_KINDS)
"""Kinds that these could not read: the column has PROMPT for them, and ``command``, or ``handover``, the kind."""


def new_turn_columns(turn: Turn, awaited_by: str = "") -> dict[str, Any]:
    """Returns NEW_TURN_COLUMNS of a new turn; the others keep their defaults."""
    message = turn.message
    is_new = message.kind in UNKNOWN_TO_EARLIER_VERSIONS
    return {
        "conversation_id": turn.conversation_id,
        "seq": turn.seq,
        "id": turn.id,
        "platform": message.key.platform,
        "message_id": message.message_id,
        "text": message.text,
        "author": message.author,
        "address": message.address,
        "kind": MessageKind.PROMPT if is_new else message.kind,
        "files": message.files,
        "awaited_by": awaited_by or None,
        "caller": message.caller,
        "context": message.context,
        "options": message.options,
        "trace": message.traceparent,
        "state": turn.state,
        "attempts": turn.attempts,
        "trail": turn.audit_log,
        "received_at": turn.received_at,
        "started_at": turn.started_at,
        "assistant": turn.assistant,
        "command": str(message.kind) if is_new and message.kind not in HANDOVER_KINDS else "",
        "handover": _handover_mark(turn),
    }


def resolved_turn_columns(turn: Turn) -> dict[str, Any]:
    """Returns the columns of a new turn that already has an outcome."""
    return new_turn_columns(turn) | outcome_columns(turn) | {"parts": turn.posted_messages}


def key_columns(key: ConversationKey, prefix: str = "") -> dict[str, str]:
    return {
        f"{prefix}platform": key.platform,
        f"{prefix}workspace": key.workspace,
        f"{prefix}channel": key.channel,
        f"{prefix}topic": key.topic,
        f"{prefix}user_id": key.user,
    }


def _handover_mark(turn: Turn) -> str:
    """Returns the kind of a turn that begins or ends a handover, else what it is in one."""
    kind = turn.message.kind
    return str(kind if kind in HANDOVER_KINDS else turn.handover)


def _failure_columns(turn: Turn) -> dict[str, Any]:
    failure = turn.failure
    return {
        "error_code": failure and failure.code,
        "error_sentence": failure and str(failure.user_message),
        "error_parts": failure and failure.user_message,
        "error_detail": failure and failure.detail,
        "error_retry_after": failure and failure.retry_after,
    }
