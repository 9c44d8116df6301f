"""The read-only queries of the store: turns, conversations, transcripts, queue depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select

from gateway.domain.models import Conversation, ConversationKey, ThreadId, Turn, TurnId, Verdict
from gateway.ports.store import Depth
from storage import row_mapping, sql
from storage.database import Database

ALL = 2**31 - 1
"""More turns than a conversation can have."""


class SqlReading:
    """Implements the queries of Store."""

    _database: Database

    def turn(self, turn: TurnId) -> Turn | None:
        return self._turn(sql.turn, turn=turn)

    def turn_of(self, platform: str, message_id: str) -> Turn | None:
        return self._turn(sql.turn_of_message, on=platform, message=message_id)

    def conversation(self, key: ConversationKey) -> Conversation | None:
        return self._conversation(sql.conversation, **row_mapping.key_of(key, "key_"))

    def conversation_of(self, thread: ThreadId) -> Conversation | None:
        return self._conversation(sql.conversation_of, thread=thread)

    def former_threads(self, conversation: int) -> Sequence[tuple[ThreadId, str]]:
        with self._database.reading() as connection:
            found = connection.execute(sql.former_threads_of, {"conversation": conversation})
            return [(thread, backend) for thread, backend in found]

    def transcript(self, conversation: int, *, before: int | None = None, limit: int | None = None) -> Sequence[Turn]:
        parameters = {
            "conversation": conversation,
            "before": ALL if before is None else before,
            "newest": ALL if limit is None else limit,
        }
        with self._database.reading() as connection:
            return row_mapping.turns_of(connection.execute(sql.transcript, parameters).all())[::-1]

    def verdicts(self, turn: TurnId) -> Sequence[Verdict]:
        with self._database.reading() as connection:
            return [Verdict(*row) for row in connection.execute(sql.verdicts_of, {"turn": turn})]

    def depths(self) -> Sequence[Depth]:
        with self._database.reading() as connection:
            waiting = connection.execute(sql.depths).all()
        return [Depth(platform, turns, max(0.0, age)) for platform, turns, age in waiting]

    def ping(self) -> None:
        with self._database.reading() as connection:
            connection.execute(sql.ping)

    def _turn(self, statement: Select[*tuple[Any, ...]], **parameters: str) -> Turn | None:
        with self._database.reading() as connection:
            found = row_mapping.turns_of(connection.execute(statement, parameters).all())
        return found[0] if found else None

    def _conversation(self, statement: Select[*tuple[Any, ...]], **parameters: str) -> Conversation | None:
        with self._database.reading() as connection:
            row = connection.execute(statement, parameters).first()
        return None if row is None else row_mapping.conversation_of(row)
