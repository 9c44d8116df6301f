"""Calls of tools that people have to approve."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "turn_id", sa.Text, sa.ForeignKey("turns.id", name="approvals_turn", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("approvers", sa.Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("decision", sa.Text),
        sa.Column("decided_by", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("decided_name", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("requested_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("decided_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("posted", sa.Text, nullable=False, server_default=sa.text("'[]'")),
    )
    is_undecided = sa.text("decision IS NULL AND approvers <> '[]'")
    op.create_index("approvals_of", "approvals", ["turn_id", "round", "place"])
    op.create_index(
        "approvals_undecided", "approvals", ["requested_at"], sqlite_where=is_undecided, postgresql_where=is_undecided
    )
