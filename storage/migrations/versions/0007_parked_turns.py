"""Turns that wait for something are parked in the table; conversations know whose share they take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("turns", sa.Column("parking", sa.Text))
    op.add_column("conversations", sa.Column("share", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("conversations", sa.Column("parked_since", sa.Double))
    op.add_column("conversations", sa.Column("parked_key", sa.Text))
    op.add_column("conversations", sa.Column("parked_reason", sa.Text))
