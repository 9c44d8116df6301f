"""Indexes for operators' searches. On PostgreSQL they are built concurrently, outside of a transaction."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

INDEXES: Final = {"turns_received": None, "turns_failed": "error_code IS NOT NULL"}

BROKEN: Final = sa.text(
    "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE NOT indisvalid AND relname = ANY(:names) AND pg_table_is_visible(indexrelid)"
)
"""Finds invalid indexes that an interrupted build left, see
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY."""


def upgrade() -> None:
    beside = op.get_bind().dialect.name == "postgresql"
    if beside:
        for name in op.get_bind().execute(BROKEN, {"names": list(INDEXES)}).scalars().all():
            op.drop_index(name, postgresql_concurrently=True)
    for name, condition in INDEXES.items():
        where = None if condition is None else sa.text(condition)
        op.create_index(
            name,
            "turns",
            ["received_at"],
            if_not_exists=True,
            sqlite_where=where,
            postgresql_where=where,
            postgresql_concurrently=beside,
        )
