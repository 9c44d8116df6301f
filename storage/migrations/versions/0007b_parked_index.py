"""The index of parked turns. On PostgreSQL it is built concurrently, outside of a transaction, as in 0004."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007b"
down_revision = "0007"

NAME = "conversations_parked"
BROKEN = sa.text(
    "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE NOT indisvalid AND relname = :name AND pg_table_is_visible(indexrelid)"
)


def upgrade() -> None:
    beside = op.get_bind().dialect.name == "postgresql"
    if beside and op.get_bind().execute(BROKEN, {"name": NAME}).first() is not None:
        op.drop_index(NAME, postgresql_concurrently=True)
    where = sa.text("parked_since IS NOT NULL")
    op.create_index(
        NAME,
        "conversations",
        ["parked_key", "parked_since"],
        if_not_exists=True,
        sqlite_where=where,
        postgresql_where=where,
        postgresql_concurrently=beside,
    )
