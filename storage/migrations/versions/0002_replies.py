"""Message kinds, files, posted messages, feedback; token buckets and locks shared by processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # With defaults that are the same for all rows: neither database rewrites the table.
    for name, default in (("kind", "ask"), ("files", "[]"), ("made", "[]"), ("parts", "[]")):
        op.add_column("turns", sa.Column(name, sa.Text, nullable=False, server_default=sa.text(f"'{default}'")))
    op.create_table(
        "verdicts",
        sa.Column("turn_id", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("turn_id", "author", name="verdicts_one_each"),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="verdicts_turn", ondelete="CASCADE"),
    )
    op.create_table(
        "limits",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
