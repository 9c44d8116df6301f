"""Handovers on SQLAlchemy: who took a conversation over, and when it was given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    tuple_,
    update,
)

from gateway.domain.models import PUSHED, MessageKind, Turn
from gateway.ports.handovers import (
    BROUGHT,
    HAND_OVER_TEXT,
    INTRODUCTION,
    INTRODUCTIONS,
    HandoverRecord,
    OpenHandover,
    introduction_name,
    said_name,
)
from storage import row_mapping, sql
from storage.callbacks import delete_callbacks_of
from storage.clock import clock
from storage.connecting.database import Database
from storage.sql import C, T
from storage.tables.column_types import SafeText
from storage.tables.schema import conversations, handovers, turns

H = handovers.c

RECORD = (H.conversation_id, H.seq, H.since, H.asked_by, H.reason, H.ended_at, H.ended_by)
_of_conversation = H.conversation_id == bindparam("conversation")
_is_open = H.ended_at.is_(None)

take_over = (
    update(conversations)
    .where(C.id == bindparam("conversation"))
    .values(handover_seq=bindparam("place"), handed_over_at=func.coalesce(C.handed_over_at, bindparam("at")))
)
_columns = ["conversation_id", "seq", "since", "asked_by", "reason"]
_new_record = select(
    *(bindparam("conversation", type_=H.conversation_id.type), bindparam("place", type_=H.seq.type)),
    bindparam("at", type_=Double),
    *(bindparam(name, type_=SafeText) for name in ("who", "why")),
).where(~select(literal(1)).where(_of_conversation, _is_open).exists())
insert_record = insert(handovers).from_select(_columns, _new_record)
"""Unless the conversation is handed over already."""
give_back = (
    update(conversations).where(C.id == bindparam("conversation")).values(handover_seq=null(), handed_over_at=null())
)
end_record = (
    update(handovers)
    .where(_of_conversation, _is_open)
    .values(ended_at=bindparam("at", type_=Double), ended_by=bindparam("who", type_=SafeText))
)
erase_reasons_of = update(handovers).where(_of_conversation).values(reason="")
"""A model, or a member of the staff, may have written there what a person said."""
_tells_reason = and_(
    T.conversation_id == bindparam("conversation"),
    T.handover == str(MessageKind.HAND_OVER),
    T.caller.startswith(PUSHED),
)
_erase_told_reasons = update(turns).where(_tells_reason).values(text=HAND_OVER_TEXT)
"""Of the turns that bring the reasons, which are somebody else's."""
erase_sender = (
    update(handovers).where(_of_conversation, H.asked_by == bindparam("person", type_=SafeText)).values(asked_by="")
)
erase_ender = (
    update(handovers).where(_of_conversation, H.ended_by == bindparam("person", type_=SafeText)).values(ended_by="")
)
erase_reasons_before = (
    update(handovers).where(H.since < bindparam("until", type_=Double), H.reason != "").values(reason="")
)
_begun = select(H.seq).where(_of_conversation)
_said = turns.alias("said").c
_shown = select(literal(f"{BROUGHT}{said_name('')}", SafeText) + _said.id)
_shown = _shown.where(_said.conversation_id == bindparam("conversation"))
_shown_of = _shown.where(_said.author == bindparam("person", type_=SafeText))


def _erase_brought(shown: Select[str]) -> Any:
    """Keeps what was posted of a message: by that of the one that began a topic, the topic is found."""
    named = T.message_id.in_(bindparam("named", expanding=True)) | T.message_id.in_(shown)
    erased = update(turns).where(named, T.caller.startswith(PUSHED), T.erased_at.is_(None))
    return erased.values(reply="", erased_at=clock())


_erase_all_brought, _erase_brought_of = _erase_brought(_shown), _erase_brought(_shown_of)
OPEN = (*sql.CONVERSATION, *RECORD, (clock() - H.since).label("age"), C.tail)
_open = (
    select(*OPEN)
    .join_from(handovers, conversations, H.conversation_id == C.id)
    .where(_is_open)
    .order_by(H.since, H.conversation_id)
)
_root, _place = turns.alias("root"), conversations.alias("place")
_name = literal(f"{BROUGHT}{INTRODUCTION}:", SafeText) + cast(H.conversation_id, Text) + ":" + cast(H.seq, Text)
_names = [_name, *(_name + f":{number}" for number in range(2, INTRODUCTIONS + 1))]
_introduced = (
    _open.add_columns(*(_root.c[column.name] for column in sql.TURN), *(_place.c[column.name] for column in sql.KEY))
    .join(_root, and_(_root.c.platform == bindparam("on", type_=SafeText), _root.c.message_id.in_(_names)))
    .join(_place, _place.c.id == _root.c.conversation_id)
    .order_by(_root.c.received_at, _root.c.seq)
)
_count_open = select(func.count()).select_from(handovers).where(_is_open)
_listed = select(*RECORD).where(_of_conversation).order_by(H.seq.desc()).limit(bindparam("most"))


def begin(connection: Connection, turn: Turn, at: float) -> None:
    """Hands the conversation of a new turn over. Its row is locked."""
    place = {"conversation": turn.conversation_id, "place": turn.seq, "at": at}
    connection.execute(take_over, place)
    reason = turn.message.text if turn.message.is_pushed else ""
    connection.execute(insert_record, place | {"who": turn.message.sender, "why": reason})


def end(connection: Connection, turn: Turn, at: float) -> None:
    """Gives the conversation of a turn back. Its row is locked."""
    connection.execute(give_back, {"conversation": turn.conversation_id})
    connection.execute(end_record, {"conversation": turn.conversation_id, "at": at, "who": turn.message.sender})


def erase_person(connection: Connection, conversation_id: int, author: str) -> None:
    """Erases what the handovers of a conversation may say of a person, in the transaction that erases their turns."""
    erase_brought(connection, conversation_id, author)
    of_conversation = {"conversation": conversation_id}
    connection.execute(erase_reasons_of, of_conversation)
    delete_callbacks_of(connection, _tells_reason, of_conversation)
    connection.execute(_erase_told_reasons, of_conversation)
    for statement in (erase_sender, erase_ender):
        connection.execute(statement, {"conversation": conversation_id, "person": author})


def erase_brought(connection: Connection, conversation_id: int, author: str | None = None) -> None:
    """Erases what was brought from a conversation to the channel of the staff; of one author, and what quotes them."""
    begun = connection.execute(_begun, {"conversation": conversation_id}).scalars().all()
    if not begun:  # the turns are found by reading them all
        return
    numbers = range(1, INTRODUCTIONS + 1)
    named = [f"{BROUGHT}{introduction_name(conversation_id, seq, number)}" for seq in begun for number in numbers]
    parameters = {"conversation": conversation_id, "named": named}
    if author is None:
        connection.execute(_erase_all_brought, parameters)
    else:
        connection.execute(_erase_brought_of, parameters | {"person": author})


class SqlHandovers:
    """Implements Handovers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed_open(
        self, limit: int, *, older_than: float = 0.0, after: OpenHandover | None = None
    ) -> Sequence[OpenHandover]:
        found = _open.limit(limit)
        if older_than > 0:
            found = found.where(H.since <= clock() - older_than)
        if after is not None:
            found = found.where(tuple_(H.since, H.conversation_id) > (after.record.since, after.record.conversation_id))
        return [_to_open(row) for row in self._database.fetch_all(found)]

    def introduced(self, platform: str) -> Sequence[tuple[OpenHandover, Turn]]:
        rows = self._database.fetch_all(_introduced, on=platform)
        roots = row_mapping.to_turns([row[len(OPEN) :] for row in rows])
        return [(_to_open(row), root) for row, root in zip(rows, roots, strict=True)]

    def count_open(self) -> int:
        return int(self._database.fetch_all(_count_open)[0][0])

    def of_conversation(self, conversation_id: int, limit: int = 20) -> Sequence[HandoverRecord]:
        rows = self._database.fetch_all(_listed, conversation=conversation_id, most=limit)
        return [HandoverRecord(*row) for row in rows]


def _to_open(row: Sequence[Any]) -> OpenHandover:
    """Reads a row that begins with OPEN."""
    begin, end = len(sql.CONVERSATION), len(sql.CONVERSATION) + len(RECORD)
    return OpenHandover(HandoverRecord(*row[begin:end]), row_mapping.to_conversation(row), *row[end : len(OPEN)])
