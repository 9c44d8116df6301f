"""Log lines of turns that an operator looks at, so that every process can show those of the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "turn_log_lines",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("turn_id", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("process", "level", "logger", "event")),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
    )
    op.create_index("turn_log_lines_of_turn", "turn_log_lines", ["turn_id", "number"])
    op.create_table(
        "turn_log_watches",
        sa.Column("turn_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
