"""The indexes of who waits and of what is parked. On PostgreSQL they are built concurrently, as in 0004."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

INDEXES: Final = {
    "conversations_parked": (["parked_key", "parked_since"], "parked_since IS NOT NULL"),
    "conversations_waiting": (
        ["share", "next_at", "id"],
        "owner IS NULL AND next_at IS NOT NULL AND parked_since IS NULL",
    ),
    "conversations_timed": (
        ["next_at", "id"],
        "next_at IS NOT NULL AND (owner IS NOT NULL OR parked_since IS NOT NULL)",
    ),
}

BROKEN: Final = sa.text(
    "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE NOT indisvalid AND relname = ANY(:names) AND pg_table_is_visible(indexrelid)"
)


def upgrade() -> None:
    beside = op.get_bind().dialect.name == "postgresql"
    if beside:
        for name in op.get_bind().execute(BROKEN, {"names": list(INDEXES)}).scalars().all():
            op.drop_index(name, postgresql_concurrently=True)
    for name, (columns, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name,
            "conversations",
            columns,
            if_not_exists=True,
            sqlite_where=where,
            postgresql_where=where,
            postgresql_concurrently=beside,
        )
