"""A table for files that tools returned for a reply, which no assistant's server keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "tool_files",
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column(
            "turn_id", sa.Text, sa.ForeignKey("turns.id", name="tool_files_turn", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("reference", name="tool_files_one_each"),
    )
    op.create_index("tool_files_of", "tool_files", ["turn_id"])
    op.create_index("tool_files_kept", "tool_files", ["kept_at"])
