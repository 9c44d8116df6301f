"""The tables and indexes behind the operator's pages: the audit trail, people, channels, blocks."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, PrimaryKeyConstraint, Table, false, text

from storage.tables.column_types import RowId, SafeText
from storage.tables.partial_indexes import partial_index
from storage.tables.schema import metadata, spending, turns, verdicts

audit_trail = Table(
    "audit_trail",
    metadata,
    Column("number", RowId, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("actor", SafeText, nullable=False),
    Column("action", SafeText, nullable=False),
    Column("target", SafeText, nullable=False),
    Column("detail", SafeText, nullable=False),
)
"""What operators did."""

people = Table(
    "people",
    metadata,
    Column("platform", SafeText),
    Column("user_id", SafeText),
    Column("name", SafeText, nullable=False, server_default=text("''")),
    Column("bot", SafeText, nullable=False, server_default=text("''")),
    Column("workspace", SafeText, nullable=False, server_default=text("''")),
    Column("is_claimed", Boolean, nullable=False, server_default=false()),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    PrimaryKeyConstraint("platform", "user_id", name="people_one_each"),
)
"""Who has written. ``platform`` has no name of a bot. ``bot`` and ``workspace``: where they wrote last.
``is_claimed``: only the caller says who it is."""

Index("people_seen", people.c.last_at)

channels = Table(
    "channels",
    metadata,
    Column("platform", SafeText),
    Column("channel", SafeText),
    Column("name", SafeText, nullable=False),
    Column("named_at", Double, nullable=False),
    PrimaryKeyConstraint("platform", "channel", name="channels_one_each"),
)
"""The names of channels, as far as they are known."""

blocks = Table(
    "blocks",
    metadata,
    Column("platform", SafeText),
    Column("user_id", SafeText),
    Column("actor", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("blocked_at", Double, nullable=False),
    Column("told_at", Double),
    Column("refused", Integer, nullable=False, server_default=text("0")),
    Column("refused_at", Double),
    PrimaryKeyConstraint("platform", "user_id", name="blocks_one_each"),
)
"""People who are not answered. ``told_at``: when they were told; ``refused``: how many of their messages were not
taken since."""

is_known = turns.c.author != ""
"""Has to stand in a query by author, so that the index is used."""
partial_index("turns_author", turns.c.author, turns.c.received_at, where=is_known)
Index("verdicts_given", verdicts.c.at)
Index("spending_period", spending.c.period, spending.c.scope)
