"""Messages that became a part of another message's turn keep their ids, so that each is recorded once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "joined_messages",
        sa.Column("platform", sa.Text),
        sa.Column("message_id", sa.Text),
        sa.Column(
            "turn_id",
            sa.Text,
            sa.ForeignKey("turns.id", name="joined_messages_turn", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("begins", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("platform", "message_id", name="joined_messages_one_each"),
    )
    op.create_index("joined_messages_of", "joined_messages", ["turn_id"])
