"""Audit logs, models, costs, traces; budgets; detection of a clock that is set back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # With defaults that are the same for all rows: neither database rewrites the table.
    for name, default in (("model", ""), ("trail", "[]"), ("trace", "")):
        op.add_column("turns", sa.Column(name, sa.Text, nullable=False, server_default=sa.text(f"'{default}'")))
    op.add_column("turns", sa.Column("cost", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("turns", sa.Column("awaited_by", sa.Text))
    op.add_column("turns", sa.Column("erased_at", sa.Double))
    for name in ("limits", "leases"):
        op.add_column(name, sa.Column("seen_at", sa.Double))
    op.create_table(
        "former_threads",
        sa.Column("conversation_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
    )
    op.create_index("former_threads_of", "former_threads", ["conversation_id"])
    op.create_table(
        "spending",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("dearest", sa.BigInteger),
        sa.PrimaryKeyConstraint("scope", "period", name="spending_one_each"),
    )
    op.create_table(
        "holds",
        sa.Column("turn_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("turn_id", "scope", "period", name="holds_one_each"),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="holds_turn", ondelete="CASCADE"),
    )
    op.create_index("holds_budget", "holds", ["scope", "period"])
