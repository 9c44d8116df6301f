"""Files that callers send with their messages are kept in pieces until their turns are done with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.Text),
        sa.Column("seq", sa.Integer),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("piece", sa.LargeBinary, nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "seq", name="uploads_one_each"),
    )
    op.create_index("uploads_of_message", "uploads", ["platform", "message_id"])
    op.create_index("uploads_received", "uploads", ["received_at"])
