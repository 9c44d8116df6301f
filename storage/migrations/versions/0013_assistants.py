"""Turns and threads know their assistant, and conversations the one that was chosen for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    for table in ("turns", "conversations", "former_threads"):
        op.add_column(table, _text("assistant", "default"))
    op.add_column("turns", _text("command", ""))
    op.add_column("conversations", _text("chosen", ""))


def _text(name: str, default: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=sa.text(f"'{default}'"))
