"""Turns keep how they are to be answered, the calls that their replies end with, and files that came in requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("turns", sa.Column("options", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("turns", sa.Column("calls", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "file_contents",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("file_contents_created", "file_contents", ["created_at"])
