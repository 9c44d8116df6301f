"""A table for updates that could not be parsed, with those that were stored in ``facts``, where nothing erased them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.unparsed_updates import move_from_facts

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "unparsed_updates",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("update_id", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("channel", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("platform", "workspace", "update_id", name="unparsed_updates_one_each"),
    )
    op.create_index("unparsed_updates_received", "unparsed_updates", ["received_at"])
    # Processes of the version before may store more of them: storage.unparsed_updates moves those later.
    move_from_facts(op.get_bind())
    # Where the Telegram bot was removed or blocked: written by earlier versions, never read.
    op.execute("DELETE FROM facts WHERE name LIKE 'telegram:%:gone:%'")
