"""Messages of a thread as the API shows them, whether they are rows of their own or belong to a turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.openai_api.ids import additional_of, reply_of, run_of
from adapters.openai_api.outcome import is_cut_off, refusal_of, text_of
from gateway.domain.models import Turn, TurnState
from gateway.json_text import decode_json
from gateway.ports.api_objects import ApiObject

Item = dict[str, Any]
MessagePosition = tuple[int, int, int]
"""Where a message stands in its thread: behind how many turns, behind what of these, and behind how many like it."""

NOTE = "note"
"""The kind of an object that says what a caller changed of a message that belongs to a turn."""
AFTER_REPLY, WITH_RUN = 2, 3
REPLY = 1


def stored_message(row: ApiObject) -> Item:
    """Returns a message that a caller added."""
    return _view(row.id, row.parent, row.body, int(row.created_at), status=None)


def messages_of_turn(turn: Turn) -> Iterator[tuple[MessagePosition, Item]]:
    """Yields the messages that came with a run, and its reply."""
    thread = turn.message.key.channel
    for index, body in enumerate(additional_bodies(turn)):
        item = _view(additional_of(turn.id, index), thread, body, int(turn.received_at), status=None)
        yield (turn.seq - 1, WITH_RUN, index), item
    if turn.reply or turn.reply_files:
        yield (turn.seq, REPLY, 0), reply_message(turn)


def additional_bodies(turn: Turn) -> Sequence[Mapping[str, Any]]:
    address = turn.message.address
    return decode_json(address["messages"]) if "messages" in address else ()


def reply_message(turn: Turn, *, text: str | None = None) -> Item:
    """Returns the message with a turn's reply. ``text``: what there is of it while it is written."""
    is_written, at = text is None, int(turn.answered_at or turn.started_at or turn.received_at)
    words, refusal = (text_of(turn), refusal_of(turn)) if text is None else (text, "")
    content = [*([text_part(words)] if words else []), *([refusal_part(refusal)] if refusal else [])]
    body = {"role": "assistant", "content": content, "attachments": [], "metadata": {}}
    status = "incomplete" if turn.state is TurnState.CANCELLED or is_cut_off(turn) else "completed"
    item = _view(reply_of(turn.id), turn.message.key.channel, body, at, status=status if is_written else "in_progress")
    if status == "incomplete" and is_written:
        reason = "run_cancelled" if turn.state is TurnState.CANCELLED else "max_tokens"
        item |= {"incomplete_details": {"reason": reason}, "incomplete_at": at, "completed_at": None}
    return {**item, "run_id": run_of(turn.id), "assistant_id": turn.message.address.get("assistant", "") or None}


def text_part(text: str) -> Item:
    return {"type": "text", "text": {"value": text, "annotations": []}}


def refusal_part(text: str) -> Item:
    return {"type": "refusal", "refusal": text}


def timeline(turns: Sequence[Turn], rows: Sequence[ApiObject]) -> Sequence[Item]:
    """Returns the messages of turns and rows, oldest first, with what callers changed of them."""
    notes = {row.id: row.body for row in rows if row.kind == NOTE}
    placed: list[tuple[MessagePosition, Item]] = [
        ((row.turns, AFTER_REPLY, row.position), stored_message(row)) for row in rows if row.kind != NOTE
    ]
    placed += [each for turn in turns for each in messages_of_turn(turn)]
    in_order = [item for _, item in sorted(placed, key=lambda each: each[0])]
    return [with_note(item, notes.get(item["id"])) for item in in_order if not is_deleted(notes.get(item["id"]))]


def with_note(item: Item, note: Mapping[str, Any] | None) -> Item:
    return item if note is None else {**item, "metadata": note.get("metadata", {})}


def is_deleted(note: Mapping[str, Any] | None) -> bool:
    return note is not None and bool(note.get("deleted"))


def _view(name: str, thread: str, body: Mapping[str, Any], at: int, *, status: str | None) -> Item:
    return {
        "id": name,
        "object": "thread.message",
        "created_at": body.get("created_at", at),
        "thread_id": thread,
        "status": status or "completed",
        "incomplete_details": None,
        "completed_at": None if status == "in_progress" else at,
        "incomplete_at": None,
        "role": body["role"],
        "content": body["content"],
        "assistant_id": body.get("assistant_id"),
        "run_id": body.get("run_id"),
        "attachments": body.get("attachments", []),
        "metadata": body.get("metadata", {}),
    }
