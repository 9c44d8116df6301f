"""The ReportingStore on SQLAlchemy: what operators read and erase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Delete

from gateway.domain.approvals import Approval
from gateway.domain.context import Quote
from gateway.domain.conversations import Conversation
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.domain.platform_events import Feedback
from gateway.ports.reporting import LATENCY_BOUNDS, AssistantUsage, ConversationSummary, TurnFilter, UsageBucket
from storage import handovers, parking, retention, row_mapping
from storage import reporting_sql as statements
from storage.approvals import decisions_by, erase_approvals_of, erase_decider
from storage.audit_trail import purge_audit_trail
from storage.callbacks import delete_callbacks_of, delete_ratings_by, purge_callbacks
from storage.clock import read_clock
from storage.connecting.database import Database
from storage.retired_threads import retire_threads
from storage.schedules import erase_ended
from storage.tables.message_context import context_mark
from storage.uploads import delete_uploads_of
from storage.upserts import UPSERTS

EXPIRED_KEEP_SECONDS = 3600.0
TOOL_FILE_KEEP_SECONDS = 7 * 86_400.0
"""Replies are delivered within a day; an operator may deliver one again later."""
UPLOAD_KEEP_SECONDS = 7 * 86_400.0
"""Longer than any turn takes, so that an operator can retry one that failed."""
BUDGET_KEEP_SECONDS = 40 * 86_400.0
"""After this time no monthly budget uses the record any more."""
SCHEDULE_KEEP_SECONDS = 30 * 86_400.0
"""For which a schedule that has ended is listed."""


class SqlReportingStore:
    """Implements ReportingStore. A search by text or person scans the whole table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> float:
        with self._database.read() as connection:
            at: float = connection.execute(read_clock).scalar_one()
            return at

    def find_turns(self, criteria: TurnFilter, *, limit: int, before: Turn | None = None) -> Sequence[Turn]:
        return row_mapping.to_turns(self._database.fetch_all(statements.find_turns(criteria, limit, before)))

    def find_conversations(
        self, criteria: TurnFilter, *, limit: int, before: ConversationSummary | None = None
    ) -> Sequence[ConversationSummary]:
        found = self._database.fetch_all(statements.find_conversations(criteria, limit, before))
        return [ConversationSummary(row_mapping.to_conversation(row), *row[-5:]) for row in found]

    def get_conversation(self, conversation_id: int) -> Conversation | None:
        found = self._database.fetch_all(statements.conversation_by_id, conversation=conversation_id)
        return row_mapping.to_conversation(found[0]) if found else None

    def usage_buckets(self, since: float, until: float, *, bucket_seconds: float) -> Sequence[UsageBucket]:
        found = self._database.fetch_all(statements.usage_buckets, since=since, until=until, span=bucket_seconds)
        return [
            _usage_bucket(platform, number * bucket_seconds, list(counts))
            for (number, platform), counts in groupby(found, itemgetter(0, 1))
        ]

    def usage_by_assistant(self, since: float, until: float) -> Sequence[AssistantUsage]:
        found = self._database.fetch_all(statements.usage_by_assistant, since=since, until=until)
        return [AssistantUsage(name, *map(int, counts)) for name, *counts in found]

    # ---------------------------------------------------------------- a person

    def turns_by_author(
        self, platform: str, author: str, *, after: Turn | None = None, limit: int = 500
    ) -> Sequence[Turn]:
        return row_mapping.to_turns(
            self._database.fetch_all(statements.turns_by_author(limit, after), on=platform, person=author)
        )

    def feedback_by(self, platform: str, author: str) -> Sequence[Feedback]:
        return [Feedback(*row) for row in self._database.fetch_all(statements.feedback_by, on=platform, person=author)]

    def decisions_by(self, platform: str, author: str) -> Sequence[Approval]:
        with self._database.read() as connection:
            return decisions_by(connection, platform, author)

    def quotes_of(self, platform: str, author: str) -> Sequence[tuple[TurnId, Quote]]:
        found = self._database.fetch_all(statements.quoting_turns, on=platform, named=context_mark(author))
        return [(turn, quote) for turn, context in found for quote in context.quotes if quote.person == author]

    def unfinished_turns_by(self, platform: str, author: str) -> Sequence[TurnId]:
        return [
            turn for (turn,) in self._database.fetch_all(statements.unfinished_turns_by, on=platform, person=author)
        ]

    def conversations_of(self, platform: str, author: str) -> Sequence[tuple[Conversation, bool]]:
        found = self._database.fetch_all(
            statements.conversations_of, on=platform, person=author, named=context_mark(author)
        )
        return [(row_mapping.to_conversation(row), bool(row[-1])) for row in found]

    def erase_author(self, conversation: Conversation, author: str) -> int | None:
        parameters = {"conversation": conversation.id, "person": author}
        with self._database.transaction() as connection:
            if connection.execute(statements.lock_thread(conversation)).first() is None:
                return None
            retire_threads(connection, conversation.id)
            parking.wake_conversation(connection, conversation.id)
            connection.execute(statements.unset_thread, {"conversation": conversation.id})
            connection.execute(statements.cancel_turns_of_author, parameters)
            _erase_quotes(connection, conversation.id, author)
            handovers.erase_person(connection, conversation.id, author)
            connection.execute(statements.erase_files_of_author, parameters)
            delete_uploads_of(connection, statements.by_author_in_conversation, parameters)
            delete_callbacks_of(connection, statements.by_author_in_conversation, parameters)
            erase_approvals_of(connection, statements.by_author_in_conversation, parameters)
            return connection.execute(statements.erase_author, parameters).rowcount

    def erase_feedback_by(self, platform: str, author: str) -> int:
        with self._database.transaction() as connection:
            erase_decider(connection, platform, author)
            delete_ratings_by(connection, platform, author)
            return connection.execute(statements.erase_feedback_by, {"on": platform, "person": author}).rowcount

    # ---------------------------------------------------------------- clearing up

    def erase_older_than(self, age_seconds: float, *, limit: int = 1000) -> int:
        with self._database.transaction() as connection:
            now, stored = connection.execute(statements.read_cursor, {"fact": retention.CURSOR_NAME}).one()
            cursor = retention.RetentionCursor.from_json(stored)
            erased, new_cursor = retention.erase_batch(connection, cursor, now - age_seconds, limit)
            connection.execute(handovers.erase_reasons_before, {"until": now - age_seconds})
            if new_cursor != cursor:
                parameters = {"name": retention.CURSOR_NAME, "value": str(new_cursor)}
                connection.execute(UPSERTS[self._database.kind].set_value, parameters)
            return erased

    def purge_expired(self) -> None:
        month = datetime.fromtimestamp(self.now() - BUDGET_KEEP_SECONDS, UTC)
        purges: list[tuple[Delete, dict[str, Any]]] = [
            *((statement, {"seconds": EXPIRED_KEEP_SECONDS}) for statement in statements.purge_expired),
            *((statement, {}) for statement in (*purge_callbacks, purge_audit_trail)),
            (statements.purge_tool_files, {"seconds": TOOL_FILE_KEEP_SECONDS}),
            (erase_ended, {"seconds": SCHEDULE_KEEP_SECONDS}),
            (statements.purge_uploads, {"seconds": UPLOAD_KEEP_SECONDS}),
            (statements.purge_budgets, {"month": f"{month:%Y-%m}"}),
        ]
        for statement, parameters in purges:
            with self._database.single_write() as connection:
                connection.execute(statement, parameters)


def _erase_quotes(connection: Connection, conversation_id: int, person: str) -> None:
    """Takes what was quoted of a person, and their name, from the turns of others."""
    parameters = {"conversation": conversation_id, "named": context_mark(person)}
    for seq, context in connection.execute(statements.contexts_naming, parameters).all():
        kept = {"conversation": conversation_id, "place": seq, "kept": context.without(person)}
        connection.execute(statements.set_context, kept)


def _usage_bucket(platform: str, start: float, counts: Sequence[Sequence[Any]]) -> UsageBucket:
    """Reads rows of reporting_sql.usage_buckets."""
    states: Counter[TurnState] = Counter()
    failures: Counter[str] = Counter()
    times = [0] * (len(LATENCY_BOUNDS) + 1)
    for _, _, state, code, slot, number, *_ in counts:
        states[state] += number
        if state is TurnState.FAILED:
            failures[code or ""] += number
        elif state in (TurnState.ANSWERED, TurnState.DELIVERED):
            times[slot] += number
    return UsageBucket(
        platform,
        start,
        received=states.total(),
        answered=sum(times),
        cancelled=states[TurnState.CANCELLED],
        failures=dict(failures),
        latency_counts=tuple(times),
        tokens_in=_sum(counts, -3),
        tokens_out=_sum(counts, -2),
        cost=_sum(counts, -1),
    )


def _sum(counts: Iterable[Sequence[Any]], column: int) -> int:
    return sum(int(row[column]) for row in counts)
