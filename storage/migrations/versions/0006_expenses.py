"""Turns say who called and whether their cost is an estimate; reservations outlive their turns until they are paid."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("turns", sa.Column("cost_is_estimate", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("turns", sa.Column("caller", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_index("former_threads_thread", "former_threads", ["thread_id"])
    op.add_column("holds", sa.Column("ended_at", sa.Double))
    with op.batch_alter_table("holds") as holds:
        # The version before ignores reservations without a turn: it joins them with turns.
        holds.drop_constraint("holds_turn", type_="foreignkey")
