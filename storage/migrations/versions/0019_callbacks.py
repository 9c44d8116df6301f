"""Answers and events that are posted to addresses of programs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "callbacks",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column(
            "turn_id", sa.Text, sa.ForeignKey("turns.id", name="callbacks_turn", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("error", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("retried_since", sa.Double, nullable=False),
        sa.Column("next_at", sa.Double),
        sa.Column("delivered_at", sa.Double),
        sa.Column("dead_at", sa.Double),
        sa.UniqueConstraint("id", name="callbacks_id"),
    )
    waits, is_dead = sa.text("next_at IS NOT NULL"), sa.text("dead_at IS NOT NULL")
    op.create_index("callbacks_waiting", "callbacks", ["lane", "number"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("callbacks_due", "callbacks", ["next_at"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("callbacks_dead", "callbacks", ["dead_at"], sqlite_where=is_dead, postgresql_where=is_dead)
    op.create_index("callbacks_of", "callbacks", ["turn_id"])
