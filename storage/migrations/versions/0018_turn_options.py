"""Turns keep how they are to be answered, and the calls of their senders' functions that their replies end with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("turns", sa.Column("options", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("turns", sa.Column("calls", sa.Text, nullable=False, server_default=sa.text("''")))
