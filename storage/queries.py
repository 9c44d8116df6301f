"""The read-only queries of the store: turns, conversations, transcripts, queue depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Select

from gateway.domain.conversations import AssistantThread, Conversation
from gateway.domain.models import ConversationKey, ThreadId, Turn, TurnId
from gateway.domain.platform_events import Feedback
from gateway.domain.shares import Share
from gateway.ports.store import QueueDepth
from storage import row_mapping, sql
from storage.connecting.database import Database
from storage.driver_sql import Call, DriverStatement, run_all
from storage.new_turns import channel_parameters

NEWEST_CONVERSATIONS = 1000
"""Of a channel, in which a stopped turn is looked for."""
NO_LIMIT = 2**31 - 1
"""More turns than a conversation can have."""


@cache
def _turn_statement(kind: str) -> DriverStatement:
    return DriverStatement(sql.turn, kind)


@cache
def _past_statement(kind: str) -> DriverStatement:
    return DriverStatement(sql.past_turns, kind)


class SqlTurnQueries:
    """Implements the queries of Store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_turn(self, turn_id: TurnId) -> Turn | None:
        with self._database.driver_read() as cursor:  # callers ask again and again
            (rows,) = run_all(cursor, [Call(_turn_statement(self._database.kind), {"turn": turn_id})])
        return next(iter(row_mapping.to_turns(rows)), None)

    def find_turn_by_message(self, platform: str, message_id: str) -> Turn | None:
        return self._fetch_turn(sql.turn_of_message, on=platform, message=message_id)

    def find_newest_turn_by_message(self, platform: str, first: str, last: str) -> Turn | None:
        return self._fetch_turn(sql.newest_turn_by_message, on=platform, first=first, last=last)

    def find_conversation(self, key: ConversationKey) -> Conversation | None:
        return self._fetch_conversation(sql.conversation, **row_mapping.key_columns(key, "key_"))

    def find_conversation_by_thread(self, thread_id: ThreadId) -> Conversation | None:
        current = self._fetch_conversation(sql.conversation_by_thread, thread=thread_id)
        return current or self._fetch_conversation(sql.conversation_by_former_thread, thread=thread_id)

    def former_threads(self, conversation_id: int) -> Sequence[AssistantThread]:
        with self._database.read() as connection:
            found = connection.execute(sql.former_threads_of, {"conversation": conversation_id})
            return [AssistantThread(*row) for row in found]

    def transcript(
        self, conversation_id: int, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        parameters = {
            "conversation": conversation_id,
            "before": NO_LIMIT if before is None else before,
            "newest": NO_LIMIT if limit is None else limit,
        }
        with self._database.read() as connection:
            return row_mapping.to_turns(connection.execute(sql.transcript, parameters).all())[::-1]

    def past_turns(self, turn: Turn, limit: int) -> Sequence[Turn]:
        parameters = {"conversation": turn.conversation_id, "before": turn.seq, "newest": limit}
        with self._database.driver_read() as cursor:
            (rows,) = run_all(cursor, [Call(_past_statement(self._database.kind), parameters)])
        return [row_mapping.to_past_turn(row, turn) for row in reversed(rows)]

    def count_turns(self, key: ConversationKey, author: str, seconds: float) -> int:
        conversation = self.find_conversation(key)
        if conversation is None:
            return 0
        parameters = {"conversation": conversation.id, "writer": author, "seconds": seconds}
        with self._database.read() as connection:
            return int(connection.execute(sql.turns_of_author, parameters).scalar_one())

    def stopped_in_channel(self, stop: Turn) -> bool:
        place = channel_parameters(stop.message.key) | {"most": NEWEST_CONVERSATIONS}
        with self._database.read() as connection:
            found = connection.execute(sql.newest_in_channel, place).scalars().all()
            parameters = {"conversations": found, "writer": stop.message.author, "since": stop.received_at}
            return bool(found) and connection.execute(sql.cancelled_of_author, parameters).first() is not None

    def feedback_on(self, turn_id: TurnId) -> Sequence[Feedback]:
        with self._database.read() as connection:
            return [Feedback(*row) for row in connection.execute(sql.feedback_on, {"turn": turn_id})]

    def queue_depths(self) -> Sequence[QueueDepth]:
        with self._database.read() as connection:
            waiting = connection.execute(sql.queue_depths).all()
            parked: dict[str, dict[str, int]] = {}
            for platform, reason, count in connection.execute(sql.parked_counts):
                parked.setdefault(platform, {})[reason] = count
        return [
            _depth(platform, list(rows), parked.get(platform, {}))
            for platform, rows in groupby(waiting, key=itemgetter(0))  # the statement sorts by platform
        ]

    def ping(self) -> None:
        with self._database.read() as connection:
            connection.execute(sql.ping)

    def is_disk_full(self) -> bool:
        """Returns whether there is no space for messages. Does no I/O on the database."""
        return self._database.is_full()

    def _fetch_turn(self, statement: Select[*tuple[Any, ...]], **parameters: str) -> Turn | None:
        with self._database.read() as connection:
            found = row_mapping.to_turns(connection.execute(statement, parameters).all())
        return found[0] if found else None

    def _fetch_conversation(self, statement: Select[*tuple[Any, ...]], **parameters: str) -> Conversation | None:
        with self._database.read() as connection:
            row = connection.execute(statement, parameters).first()
        return None if row is None else row_mapping.to_conversation(row)


def _depth(platform: str, rows: Sequence[Any], parked: Mapping[str, int]) -> QueueDepth:
    """Reads rows of sql.queue_depths, of one platform."""
    unfinished = {Share(caller, workspace): turns for _, caller, workspace, turns, _ in rows}
    return QueueDepth(platform, sum(unfinished.values()), max(0.0, *(row[4] for row in rows)), parked, unfinished)
