"""Conversations know in which workspace's share they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("workspace_share", sa.Text, nullable=False, server_default=sa.text("''")))
