"""Makes several messages of one act one turn: a split text, a comment and the forward it is about, a burst of forwards.

A joined message has no turn. Its id and where its text begins are kept in ``joined_messages``, so that the same message
is not recorded again and an edit changes that part only. So are those of the items of an album, which is one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sqlalchemy import Connection

from gateway.domain.audit import AuditEvent
from gateway.domain.files import File
from gateway.domain.joined_text import SEPARATOR, appended
from gateway.domain.models import Join, Message, MessageKind, Turn, TurnId, TurnState
from gateway.ports.enqueue import EnqueueRequest
from storage import row_mapping, sql
from storage.tables.column_types import storable, storable_file
from storage.writes import transitions

LONGEST_SECONDS = 30.0
"""A turn takes no more messages so long after its first one, however quickly they follow each other."""


@dataclass(frozen=True, slots=True)
class JoinedMessage:
    """A message that became a part of a turn."""

    turn: Turn
    """With the message."""
    request: EnqueueRequest
    begins: int
    """Where its text begins in that of the turn."""


@dataclass(frozen=True, slots=True)
class NewestTurn:
    """The newest turn of a conversation."""

    turn: Turn
    newest_part: int = 0
    """Where the text of its newest part begins."""


def joined(newest: NewestTurn | None, request: EnqueueRequest, at: float) -> JoinedMessage | None:
    """Returns what becomes of a conversation's newest turn; None when the message is no part of it."""
    message = request.message
    if newest is None or message.join is None or not _may_join(newest, message, message.join, at):
        return None
    turn, before = newest.turn, newest.turn.message
    begins, text = appended(before.text, storable(message.text))
    files = (*before.files, *map(storable_file, message.files))
    turn = replace(turn, message=replace(before, text=text, files=files))
    detail = f"{request.received_by}; message {message.message_id}"
    return JoinedMessage(transitions.with_audit_entry(turn, AuditEvent.RECEIVED, detail, at), request, begins)


def _may_join(newest: NewestTurn, message: Message, join: Join, at: float) -> bool:
    turn, first = newest.turn, newest.turn.message
    is_same = bool(message.author or message.caller) and (first.author, first.caller) == (
        storable(message.author),
        storable(message.caller),
    )
    last = max((entry.at for entry in turn.audit_log if entry.event is AuditEvent.RECEIVED), default=turn.received_at)
    return (
        (is_same and turn.erased_at is None and turn.state is TurnState.QUEUED)
        and (first.kind is MessageKind.PROMPT and message.kind is MessageKind.PROMPT)
        and (at - last <= join.seconds and at - turn.received_at <= LONGEST_SECONDS)
        and _utf16_units(first.text[newest.newest_part :]) >= join.after_units
        and message.assistant in ("", turn.assistant)
    )


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


# ---------------------------------------------------------------- reading and saving


def without_repeated_keys(requests: Sequence[EnqueueRequest]) -> Iterator[Sequence[EnqueueRequest]]:
    """Yields the requests, in order, in groups in which no message could join another one of the same group."""
    group: list[EnqueueRequest] = []
    for request in requests:
        key = request.message.key
        if request.message.join is not None and any(each.message.key == key for each in group):
            yield group
            group = []
        group.append(request)
    if group:
        yield group


def newest_turns(connection: Connection, tails: Mapping[int, int]) -> Mapping[int, NewestTurn]:
    """Locks and returns the newest turns of locked conversations, by conversation. ``tails``: their positions."""
    found = [
        connection.execute(sql.turn_at, {"conversation": conversation, "place": tail}).all()
        for conversation, tail in sorted(tails.items())
    ]
    turns = [turn for rows in found for turn in row_mapping.to_turns(rows)]
    return {turn.conversation_id: NewestTurn(turn, _newest_part(connection, turn)) for turn in turns}


def _newest_part(connection: Connection, turn: Turn) -> int:
    begins: int | None = connection.execute(sql.newest_part, {"turn": turn.id}).scalar()
    return begins or 0


def save(connection: Connection, message: JoinedMessage) -> None:
    """Saves the turn with the message, and the message's id."""
    turn, part = message.turn, message.request.message
    connection.execute(
        sql.append_to_queued, {"turn": turn.id, "said": turn.message.text, "attached": turn.message.files}
    )
    connection.execute(sql.set_audit_log, {"turn": turn.id, "lines": turn.audit_log})
    _save_parts(connection, turn.id, part.key.platform, [(part.message_id, message.begins)])
    save_album(connection, turn.id, part, message.begins)


def _save_parts(connection: Connection, turn: TurnId, platform: str, parts: Sequence[tuple[str, int]]) -> None:
    """``parts``: the ids of messages, and where in the text of the turn each begins."""
    columns = {"platform": platform, "turn_id": turn}
    connection.execute(sql.insert_joined, [{**columns, "message_id": name, "begins": at} for name, at in parts])


# ---------------------------------------------------------------- albums


def save_album(connection: Connection, turn: TurnId, message: Message, begins: int = 0) -> None:
    """Saves where the text of each item of a message begins, if it is of an album. ``begins``: where its own does."""
    if message.album_item_id:
        parts = message.album_parts or ((message.own_id, 0),)
        _save_parts(connection, turn, message.key.platform, [(name, begins + at) for name, at in parts])


def append_item(connection: Connection, turn: Turn, item: Message, files: Sequence[File]) -> None:
    """Adds an item of an album, with these files of it, to a locked turn."""
    said = turn.message.text
    begins, text = _with_item(said, storable(item.text))
    if said and not begins:
        connection.execute(sql.move_parts, {"turn": turn.id, "place": 0})
    columns = {"turn": turn.id, "said": text, "attached": (*turn.message.files, *files)}
    connection.execute(sql.append_to_queued, columns)
    _save_parts(connection, turn.id, item.key.platform, [(item.own_id, begins)])


def _with_item(text: str, more: str) -> tuple[int, str]:
    """Returns where the text of an item begins, and the whole.

    If one contains the other, such as a quote in both, it is not repeated: what stands there is the text of one item.
    """
    if more in text:
        return len(text), text
    return (0, more) if text in more else appended(text, more)


# ---------------------------------------------------------------- edits


def edited(connection: Connection, turn: Turn, message_id: str, said: str) -> str:
    """Returns the text of a locked turn with one of its messages edited; saves where the parts begin then."""
    parts = [
        (turn.message.message_id, 0),
        *((row[0], row[1]) for row in connection.execute(sql.parts_of, {"turn": turn.id})),
    ]
    if len(parts) == 1:
        return storable(said)
    text = ""
    for name, part in _texts(parts, turn.message.text):
        kept = storable(said) if name == storable(message_id) else part
        begins, text = appended(text, kept)
        connection.execute(sql.move_part, {"on": turn.message.key.platform, "message": name, "place": begins})
    return text


def _texts(parts: Sequence[tuple[str, int]], text: str) -> Iterator[tuple[str, str]]:
    """Yields each message's id and text. ``parts``: their ids and where they begin."""
    for (name, begins), (_, ends) in pairwise([*parts, ("", len(text) + len(SEPARATOR))]):
        yield name, text[begins:ends].removesuffix(SEPARATOR if ends <= len(text) else "")
