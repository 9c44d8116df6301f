"""Conversations that are handed over to a person, and what a turn is in that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("turns", sa.Column("handover", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("conversations", sa.Column("handover_seq", sa.Integer))
    op.add_column("conversations", sa.Column("handed_over_at", sa.Double))
    op.create_table(
        "handovers",
        sa.Column("conversation_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("ended_at", sa.Double),
        sa.Column("ended_by", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("conversation_id", "seq", name="handovers_one_each"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="handovers_conversation", ondelete="CASCADE"
        ),
    )
    is_open = sa.text("ended_at IS NULL")
    op.create_index("handovers_open", "handovers", ["since"], sqlite_where=is_open, postgresql_where=is_open)
