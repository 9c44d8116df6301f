"""The tables. Column types convert to and from the domain models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.domain.models import Address, File, Kind, Mark, Step, TurnState

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Returns the text as every database can store it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return UNSTORABLE.sub("\ufffd", text)


def storable_file(file: File) -> File:
    """Returns the file with ``storable`` applied to its texts."""
    return replace(
        file, name=storable(file.name), reference=storable(file.reference), media_type=storable(file.media_type)
    )


class Words(TypeDecorator[str]):
    """Text from outside, made storable."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class AddressText(TypeDecorator[Address]):
    """An address as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Address | None, _dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(dict(value))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Address | None:
        return None if value is None else cast("Mapping[str, str]", json.loads(value))


class StateText(TypeDecorator[TurnState]):
    """A turn's state, by its value."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: TurnState | None, _dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> TurnState | None:
        return None if value is None else TurnState(value)


class KindText(TypeDecorator[Kind]):
    """A message's kind, by its value."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Kind | None, _dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Kind | None:
        return None if value is None else Kind(value)


NOTHING = "[]"
"""The value in most rows; written and read without the JSON library."""


class FilesText(TypeDecorator[Sequence[File]]):
    """Files as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[File] | None, _dialect: Dialect) -> str | None:
        return json.dumps([asdict(file) for file in value]) if value else NOTHING

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[File, ...]:
        return () if value is None or value == NOTHING else tuple(File(**each) for each in json.loads(value))


class PartsText(TypeDecorator[Sequence[str]]):
    """A list of strings as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, _dialect: Dialect) -> str | None:
        return json.dumps(value) if value else NOTHING

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[str, ...]:
        return () if value is None or value == NOTHING else tuple(json.loads(value))


class TrailText(TypeDecorator[Sequence[Step]]):
    """An audit log as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[Step] | None, _dialect: Dialect) -> str | None:
        return json.dumps([(step.at, step.mark, step.detail) for step in value]) if value else NOTHING

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[Step, ...]:
        if value is None or value == NOTHING:
            return ()
        return tuple(Step(at, Mark(mark), detail) for at, mark, detail in json.loads(value))


metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite assigns row ids only in a column of exactly this type."""


conversations = Table(
    "conversations",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("platform", Words, nullable=False),
    Column("workspace", Words, nullable=False),
    Column("channel", Words, nullable=False),
    Column("topic", Words, nullable=False),
    Column("user_id", Words, nullable=False),
    Column("thread_id", Words),
    Column("backend", Words, nullable=False, server_default=text("''")),
    Column("head", Integer, nullable=False),
    Column("tail", Integer, nullable=False),
    Column("next_at", Double),
    Column("owner", Words),
    Column("epoch", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("platform", "workspace", "channel", "topic", "user_id", name="conversations_key"),
    CheckConstraint("head <= tail", name="conversations_head"),
    # An id is never reused: a lease on a deleted conversation must not be valid for a later one.
    sqlite_autoincrement=True,
)
"""``head`` and ``tail`` are the last finished and the last accepted seq. ``next_at`` is NULL without unfinished turns;
otherwise the conversation may be claimed after it, so it is also when ``owner``'s lease expires."""

# Partial indexes: rows with NULL cost nothing.
for _name, _column in (
    ("conversations_thread", conversations.c.thread_id),
    ("conversations_due", conversations.c.next_at),
):
    Index(_name, _column, sqlite_where=_column.is_not(None), postgresql_where=_column.is_not(None))

former_threads = Table(
    "former_threads",
    metadata,
    Column("conversation_id", Number, nullable=False),
    Column("thread_id", Words, nullable=False),
    Column("backend", Words, nullable=False),
)
"""Threads of a conversation from before a reset or a change of backend; they still exist at the backend. Has no foreign
key: to add one, a migration would have to lock both tables against writers, who lock them in the opposite order."""

Index("former_threads_of", former_threads.c.conversation_id)

turns = Table(
    "turns",
    metadata,
    Column("conversation_id", Number, ForeignKey("conversations.id", name="turns_conversation", ondelete="CASCADE")),
    Column("seq", Integer),
    Column("id", Words, nullable=False),
    Column("platform", Words, nullable=False),
    Column("message_id", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("author", Words, nullable=False),
    Column("address", AddressText, nullable=False),
    Column("kind", KindText, nullable=False, server_default=text("'ask'")),
    Column("files", FilesText, nullable=False, server_default=text("'[]'")),
    Column("state", StateText, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("run_id", Words),
    Column("reply", Words, nullable=False, server_default=text("''")),
    Column("made", FilesText, nullable=False, server_default=text("'[]'")),
    Column("error_code", Words),
    Column("error_sentence", Words),
    Column("error_detail", Words),
    Column("error_retry_after", Double),
    Column("tokens_in", Integer, nullable=False, server_default=text("0")),
    Column("tokens_out", Integer, nullable=False, server_default=text("0")),
    Column("model", Words, nullable=False, server_default=text("''")),
    Column("cost", BigInteger, nullable=False, server_default=text("0")),
    Column("parts", PartsText, nullable=False, server_default=text("'[]'")),
    Column("trail", TrailText, nullable=False, server_default=text("'[]'")),
    Column("trace", Words, nullable=False, server_default=text("''")),
    Column("awaited_by", Words),
    Column("received_at", Double, nullable=False),
    Column("started_at", Double),
    Column("answered_at", Double),
    Column("delivered_at", Double),
    Column("erased_at", Double),
    PrimaryKeyConstraint("conversation_id", "seq", name="turns_order"),
    UniqueConstraint("id", name="turns_id"),
    UniqueConstraint("platform", "message_id", name="turns_message"),
)

Index("turns_received", turns.c.received_at)
Index(
    "turns_failed",
    turns.c.received_at,
    sqlite_where=turns.c.error_code.is_not(None),
    postgresql_where=turns.c.error_code.is_not(None),
)
"""Not on the state: PostgreSQL would then write to every index of the table on each change of state."""

verdicts = Table(
    "verdicts",
    metadata,
    Column("turn_id", Words, ForeignKey("turns.id", name="verdicts_turn", ondelete="CASCADE")),
    Column("author", Words),
    Column("value", Words, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("turn_id", "author", name="verdicts_one_each"),
)

facts = Table(
    "facts",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", Words, nullable=False),
)

limits = Table(
    "limits",
    metadata,
    Column("name", Words, primary_key=True),
    Column("at", Double, nullable=False),
    Column("seen_at", Double),
)
"""Token buckets. ``at`` is when the next token is valid; a past time gives how long none was taken. ``seen_at`` is the
time of the write, to detect a clock that was set back."""

leases = Table(
    "leases",
    metadata,
    Column("name", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("until", Double, nullable=False),
    Column("seen_at", Double),
)

spending = Table(
    "spending",
    metadata,
    Column("scope", Words),
    Column("period", Words),
    Column("cost", BigInteger, nullable=False),
    Column("dearest", BigInteger),
    PrimaryKeyConstraint("scope", "period", name="spending_one_each"),
)
"""What was spent within a budget. ``scope``: whose; ``period``: the day or month; ``dearest``: the most of one turn."""

holds = Table(
    "holds",
    metadata,
    Column("turn_id", Words, ForeignKey("turns.id", name="holds_turn", ondelete="CASCADE")),
    Column("scope", Words),
    Column("period", Words),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("turn_id", "scope", "period", name="holds_one_each"),
)
"""Reservations: the expected cost of running turns in their budgets, until the actual cost is charged."""

Index("holds_budget", holds.c.scope, holds.c.period)
