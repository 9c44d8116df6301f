"""The index of who waits, by workspace. On PostgreSQL it is built concurrently, as in 0004."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

INDEX: Final = "conversations_waiting_in_turn"
WAITS: Final = sa.text("owner IS NULL AND next_at IS NOT NULL AND parked_since IS NULL")
BROKEN: Final = sa.text(
    "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE NOT indisvalid AND relname = :name AND pg_table_is_visible(indexrelid)"
)


def upgrade() -> None:
    beside = op.get_bind().dialect.name == "postgresql"
    if beside and op.get_bind().execute(BROKEN, {"name": INDEX}).first():
        op.drop_index(INDEX, postgresql_concurrently=True)
    op.create_index(
        INDEX,
        "conversations",
        ["workspace_share", "share", "next_at", "id"],
        if_not_exists=True,
        sqlite_where=WAITS,
        postgresql_where=WAITS,
        postgresql_concurrently=beside,
    )
