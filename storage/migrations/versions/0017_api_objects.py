"""Turns keep the calls for whose outputs they wait; the objects of OpenAI's API that are no turns have a table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("turns", sa.Column("rounds", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "api_objects",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("tail", sa.BigInteger, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("request", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("api_objects_place", "api_objects", ["parent", "position"])
    op.create_index("api_objects_owner", "api_objects", ["owner", "kind", "created_at"])
    op.create_index("api_objects_created", "api_objects", ["created_at"])
    has_request = sa.text("request IS NOT NULL")
    op.create_index(
        "api_objects_request", "api_objects", ["request"], sqlite_where=has_request, postgresql_where=has_request
    )
