"""Handovers on SQLAlchemy: who took a conversation over, and when it was given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Double, and_, bindparam, func, insert, literal, null, select, update

from gateway.domain.models import Turn
from gateway.ports.handovers import HandoverRecord, OpenHandover
from storage import row_mapping, sql
from storage.clock import clock
from storage.column_types import SafeText
from storage.database import Database
from storage.schema import conversations, handovers
from storage.sql import C

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
erase_sender = (
    update(handovers).where(_of_conversation, H.asked_by == bindparam("person", type_=SafeText)).values(asked_by="")
)
erase_ender = (
    update(handovers).where(_of_conversation, H.ended_by == bindparam("person", type_=SafeText)).values(ended_by="")
)
erase_reasons_before = (
    update(handovers).where(H.since < bindparam("until", type_=Double), H.reason != "").values(reason="")
)
_open = (
    select(*sql.CONVERSATION, *RECORD, (clock() - H.since).label("age"))
    .join_from(handovers, conversations, H.conversation_id == C.id)
    .where(and_(_is_open, H.since <= clock() - bindparam("age", type_=Double)))
    .order_by(H.since, H.conversation_id)
    .limit(bindparam("most"))
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
    connection.execute(erase_reasons_of, {"conversation": conversation_id})
    for statement in (erase_sender, erase_ender):
        connection.execute(statement, {"conversation": conversation_id, "person": author})


class SqlHandovers:
    """Implements Handovers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed_open(self, limit: int, *, older_than: float = 0.0) -> Sequence[OpenHandover]:
        rows = self._fetch_all(_open, most=limit, age=older_than)
        end_of_key = len(sql.CONVERSATION)
        return [
            OpenHandover(HandoverRecord(*row[end_of_key:-1]), row_mapping.to_conversation(row), row[-1]) for row in rows
        ]

    def count_open(self) -> int:
        return int(self._fetch_all(_count_open)[0][0])

    def of_conversation(self, conversation_id: int, limit: int = 20) -> Sequence[HandoverRecord]:
        rows = self._fetch_all(_listed, conversation=conversation_id, most=limit)
        return [HandoverRecord(*row) for row in rows]

    def _fetch_all(self, statement: Any, **parameters: Any) -> Sequence[Sequence[Any]]:
        with self._database.read() as connection:
            return connection.execute(statement, parameters).all()
