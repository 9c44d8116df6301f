"""Turns keep the names and quotations that go with their messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("turns", sa.Column("context", sa.Text, nullable=False, server_default=sa.text("''")))
