"""Indexes for the pages of people, budgets and feedback. On PostgreSQL they are built concurrently, as in 0004."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

INDEXES: Final = {
    "turns_author": ("turns", ["author", "received_at"], "author <> ''"),
    "verdicts_given": ("verdicts", ["at"], None),
    "spending_period": ("spending", ["period", "scope"], None),
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
    for name, (table, columns, condition) in INDEXES.items():
        where = None if condition is None else sa.text(condition)
        op.create_index(
            name,
            table,
            columns,
            if_not_exists=True,
            sqlite_where=where,
            postgresql_where=where,
            postgresql_concurrently=beside,
        )
